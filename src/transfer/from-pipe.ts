import { dirname } from "node:path";
import { removeSpool, spoolBundle } from "../bundle/spool.ts";
import { MigrationError } from "../errors.ts";
import { acquireLock } from "../journal/lock.ts";
import { makeOwnedFolder, type Owner } from "../system/files/owned-folder.ts";
import type { Progress } from "../system/progress.ts";
import type { System } from "../system/system.ts";

/** After these errors the received bundle is useless and is removed. */
const DISCARD_AFTER: readonly MigrationError["code"][] = [
  "bundle-damaged",
  "bundle-incomplete",
  "bundle-too-new",
];

/**
 * Saves the bundle that is read from standard input, restores it, and removes it at the end. A complete bundle is kept
 * when the restore fails, so that it need not be sent again. Throws what `spoolBundle` and `restore` throw, and
 * `bundle-in-use` while another run receives into the same folder.
 */
export async function restoreFromPipe<Result>(
  /** `owner`: the owner of created parent folders. */
  { folder, owner }: { folder: string; owner: Owner },
  { files, terminal, signal, machine }: Pick<System, "files" | "terminal" | "signal" | "machine">,
  progress: Progress,
  restore: () => Promise<Result>,
): Promise<Result> {
  await makeOwnedFolder(dirname(folder), owner, files);
  const held = await acquireLock(`${folder}.lock`, files, machine, folder);
  const id = "restore/stream";
  progress.begin({ id, label: "receive the bundle", unit: "bytes" });
  const tell = (bytes: number) => {
    progress.advance(id, bytes);
  };
  const { input } = terminal.parent(signal);
  let whole = false;
  try {
    await spoolBundle(input, folder, { files, tell });
    whole = true;
    progress.end(id);
    const result = await restore();
    await removeSpool(folder, files);
    return result;
  } catch (error) {
    if (!whole || (error instanceof MigrationError && DISCARD_AFTER.includes(error.code)))
      await removeSpool(folder, files);
    else
      progress.note(
        `the received bundle is kept in ${folder}: run the command again with that folder instead of -, and remove it at the end`,
      );
    throw error;
  } finally {
    await held.release();
  }
}
