import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";

/**
 * The fence on the new host is a file name: while the first configuration file that Synapse reads has another name,
 * Synapse cannot start.
 */
export interface Fence {
  readonly folder: string;
  /** Names below the folder, as Synapse is to find them. */
  readonly names: readonly string[];
  /** Suffix of their names while the fence is set: ".fenced". */
  readonly suffix: string;
}

/** Renames the files to their own names. May be repeated after an interruption; throws `file-missing` when one does not exist. */
export async function liftFence({ folder, names, suffix }: Fence, files: Files): Promise<void> {
  for (const name of names) await move(join(folder, `${name}${suffix}`), join(folder, name), files);
}

/** The undo of `liftFence`. May be called again. */
export async function setFence({ folder, names, suffix }: Fence, files: Files): Promise<void> {
  for (const name of names) await move(join(folder, name), join(folder, `${name}${suffix}`), files);
}

/** Whether none of the files has its own name: the server cannot start from them. */
export async function isFenced({ folder, names }: Fence, files: Files): Promise<boolean> {
  for (const name of names) if (await files.lstat(join(folder, name))) return false;
  return true;
}

async function move(from: string, to: string, files: Files): Promise<void> {
  const [before, after] = [await files.lstat(from), await files.lstat(to)];
  if (before && after) {
    throw new MigrationError("target-not-empty", `both ${from} and ${to} exist`, {
      hint: "one of them was not written by synlift: check both and remove one",
    });
  }
  // Done by an earlier, interrupted run.
  if (!before && after) return;
  await files.rename(from, to);
}
