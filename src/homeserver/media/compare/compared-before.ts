import { z } from "zod";
import { tryRead } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";
import { jsonIn } from "../../../system/json.ts";
import type { ComparedBefore } from "./since.ts";

const contentSchema = z.object({
  format: z.literal("synlift-media-compared"),
  version: z.literal(1),
  store: z.string(),
  /** Milliseconds since 1970. */
  at: z.number(),
  days: z.record(z.string(), z.string()),
  differing: z.array(z.string()),
  /** Uploads whose hash was compared. */
  hashed: z.number(),
  /** Whom all files and folders of the store belonged to; null where that was not so. */
  uid: z.number().nullable(),
  /** Of the host, and how long ago that was, in milliseconds. */
  boot: z.string(),
  sinceBoot: z.number(),
});

/** A comparison of all uploads on this host, while the old server ran. */
export type SavedComparison = ComparedBefore & Pick<z.infer<typeof contentSchema>, "hashed" | "uid">;

type Host = { readonly files: Files; readonly machine: Pick<Machine, "sinceBoot"> };

/** Milliseconds: an outage that lasts longer than this is not made short by what was compared before it. */
const VALID_MS = 3_600_000;

/** Saves nothing where the host's boot is not known. */
export async function saveComparison(
  path: string,
  { store, ...compared }: SavedComparison & { readonly store: string },
  { files, machine }: Host,
): Promise<void> {
  const now = machine.sinceBoot();
  if (!now) return;
  const content: z.infer<typeof contentSchema> = {
    format: "synlift-media-compared",
    version: 1,
    store,
    ...compared,
    differing: [...compared.differing],
    days: { ...compared.days },
    boot: now.boot,
    sinceBoot: now.milliseconds,
  };
  await files.writeAtomically(path, `${JSON.stringify(content)}\n`);
}

/**
 * The comparison of this store that was saved; undefined where there is none that can be read, or where the host was started again
 * or an hour has passed since: then everything is compared again.
 */
export async function readComparison(
  path: string,
  store: string,
  { files, machine }: Host,
): Promise<SavedComparison | undefined> {
  if (!(await files.lstat(path))) return undefined;
  const text = await tryRead(() => files.readText(path));
  const parsed = contentSchema.safeParse(jsonIn(text ?? ""));
  const now = machine.sinceBoot();
  if (!parsed.success || !now) return undefined;
  const { boot, sinceBoot, at, days, differing, hashed, uid, store: compared } = parsed.data;
  const age = now.milliseconds - sinceBoot;
  if (compared !== store || now.boot !== boot || age < 0 || age > VALID_MS) return undefined;
  return { at, days, differing, hashed, uid };
}
