import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";

/**
 * On the new host the fence is a name: as long as the configuration that Synapse is told to read first is not there under
 * its own, Synapse does not start, whoever or whatever tries.
 */
export interface Fence {
  readonly folder: string;
  /** Names below the folder, as Synapse is to find them. */
  readonly names: readonly string[];
  /** What their names end in while the fence is set: ".fenced". */
  readonly suffix: string;
}

/** Gives the files their own names. May be called again after a stop; throws `file-missing` when one is gone altogether. */
export async function liftFence({ folder, names, suffix }: Fence, files: Files): Promise<void> {
  for (const name of names) await move(join(folder, `${name}${suffix}`), join(folder, name), files);
}

/** The undo of `liftFence`. May be called again. */
export async function setFence({ folder, names, suffix }: Fence, files: Files): Promise<void> {
  for (const name of names) await move(join(folder, name), join(folder, `${name}${suffix}`), files);
}

/** Whether none of the files has its own name: the server cannot start from them. */
export async function isFenced({ folder, names }: Fence, files: Files): Promise<boolean> {
  for (const name of names) if (await files.look(join(folder, name))) return false;
  return true;
}

async function move(from: string, to: string, files: Files): Promise<void> {
  const [before, after] = [await files.look(from), await files.look(to)];
  if (before && after) {
    throw new MigrationError("target-not-empty", `both ${from} and ${to} are there`, {
      hint: "one of them was not put there by synlift: look at both and take one away",
    });
  }
  // Done by an earlier run that was stopped.
  if (!before && after) return;
  await files.rename(from, to);
}
