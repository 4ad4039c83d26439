import { isDeepStrictEqual } from "node:util";
import { z } from "zod";

/**
 * What is moved besides uploads and their thumbnails: those rows stay, and their files are packed. The rest of the
 * rows is taken out of the restored database, as each would answer 404 for ever.
 */
export const keptSchema = z.object({
  /** All media of other servers. */
  remote: z.boolean(),
  /** Servers whose media is kept although the rest is left behind: they no longer answer. */
  origins: z.array(z.string()),
  /** Previews of linked pages. */
  previews: z.boolean(),
});
export type Kept = Readonly<z.infer<typeof keptSchema>>;
/** What a person asked for, before anybody knows which servers are gone. */
export type MediaOrder = Pick<Kept, "remote" | "previews">;

export const NOTHING_KEPT: Kept = { remote: false, origins: [], previews: false };
/** What a step's outcome depends on; nothing where nothing is kept, as in bundles begun before there was a choice. */
export const keptInputs = (kept: Kept = NOTHING_KEPT): { kept?: string } =>
  isDeepStrictEqual(kept, NOTHING_KEPT) ? {} : { kept: JSON.stringify(kept) };
