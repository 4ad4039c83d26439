import { dirname } from "node:path";
import { removeSpool, spoolBundle } from "../bundle/spool.ts";
import { MigrationError } from "../errors.ts";
import { takeLock } from "../journal/lock.ts";
import { makeOwnedFolder, type Owner } from "../system/files/owned-folder.ts";
import type { Progress } from "../system/progress.ts";
import type { System } from "../system/system.ts";

/** After these, what was written down is of no use. */
const USELESS: readonly MigrationError["code"][] = ["bundle-damaged", "bundle-unfinished", "bundle-too-new"];

/**
 * Writes down the bundle that comes through standard input, hands its folder on, and removes it at the end. What came
 * whole is kept when restoring it fails: it need not come again. Throws as `spoolBundle`, what `restore` throws, and
 * `bundle-locked` while another run receives there.
 */
export async function throughSpool<Result>(
  /** `owner`: to whom folders belong that had to be made above it. */
  { folder, owner }: { folder: string; owner: Owner },
  { files, terminal, signal, machine }: Pick<System, "files" | "terminal" | "signal" | "machine">,
  progress: Progress,
  restore: () => Promise<Result>,
): Promise<Result> {
  await makeOwnedFolder(dirname(folder), owner, files);
  const held = await takeLock(`${folder}.lock`, files, machine);
  const id = "restore/stream";
  progress.begin({ id, label: "the bundle, as it comes", unit: "bytes" });
  const tell = (bytes: number) => {
    progress.advance(id, bytes);
  };
  const { input } = terminal.caller(signal);
  let whole = false;
  try {
    await spoolBundle(input, folder, { files, tell });
    whole = true;
    progress.end(id);
    const result = await restore();
    await removeSpool(folder, files);
    return result;
  } catch (error) {
    if (!whole || (error instanceof MigrationError && USELESS.includes(error.code)))
      await removeSpool(folder, files);
    else
      progress.note(
        `what came is kept in ${folder}: go on with that folder in the place of -, and remove it at the end`,
      );
    throw error;
  } finally {
    await held.release();
  }
}
