import { join } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../../errors.ts";
import {
  comparedTableSchema,
  wholeComparisonSchema,
} from "../../../homeserver/database/follow/compare/comparison.ts";
import { databaseSectionSchema } from "../../../homeserver/database/section.ts";
import type { Files } from "../../../system/files/files.ts";
import { CUT_FILE, type FollowState } from "../../follow/state.ts";
import { recordFolder } from "../../restore/record.ts";

/** Of each database. */
const byStore = <Shape extends z.ZodType>(shape: Shape) => z.object({ main: shape, state: shape.optional() });

const comparedSchema = z.object({
  /** Of the copy that was compared: another one may follow by now. */
  follow: z.string(),
  ...byStore(wholeComparisonSchema).shape,
});
export type Compared = z.infer<typeof comparedSchema>;

const cutSchema = z.object({
  format: z.literal("synlift-cut"),
  version: z.literal(1),
  /** Of the copy that is cut over. */
  follow: z.string(),
  /** The position that the copy has, of the fenced server's log. */
  position: z.string(),
  at: z.string(),
  roles: z.array(z.object({ role: z.string(), database: z.string(), before: z.string().nullable() })),
  databases: byStore(
    z.object({
      /** Of the old database, once it was fenced: whoever writes to it changes them. */
      counters: z.record(
        z.string(),
        z.object({ inserted: z.number(), updated: z.number(), deleted: z.number(), file: z.number() }),
      ),
      countedSince: z.string(),
      section: databaseSectionSchema,
      tables: z.record(z.string(), comparedTableSchema),
      seconds: z.number(),
    }),
  ),
  /** Whether synlift has begun to write to the copy, which was a server of its own by then. */
  writing: z.boolean(),
});
/** What the cut-over has found on the fenced old host: written before the copy becomes a server of its own. */
export type Cut = z.infer<typeof cutSchema>;

export const COMPARED_FILE = "follow-compared.json";

const saved = <Shape extends z.ZodType<{ follow: string }>>(name: string, schema: Shape) => ({
  /** Undefined where there is none of this copy. Throws `bundle-damaged`. */
  async read(
    configDir: string,
    { id }: Pick<FollowState, "id">,
    files: Files,
  ): Promise<z.infer<Shape> | undefined> {
    const path = join(recordFolder(configDir), name);
    if (!(await files.lstat(path))) return undefined;
    try {
      const found = schema.parse(JSON.parse(await files.readText(path)));
      return found.follow === id ? found : undefined;
    } catch (error) {
      if (error instanceof MigrationError) throw error;
      throw new MigrationError("bundle-damaged", `${path} cannot be read`, {
        hint: "remove it, and run the same command again: if the copy was promoted already, it has to be made again",
        cause: error,
      });
    }
  },
  async write(configDir: string, content: z.infer<Shape>, files: Files): Promise<void> {
    await files.makeFolder(recordFolder(configDir));
    await files.writeAtomically(join(recordFolder(configDir), name), `${JSON.stringify(content)}\n`);
  },
});

export const savedComparison = saved(COMPARED_FILE, comparedSchema);
export const savedCut = saved(CUT_FILE, cutSchema);
