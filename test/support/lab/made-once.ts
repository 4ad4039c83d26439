import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { temporaryFolder } from "./temporary-folder.ts";

/** Outlives a run of tests. It may be deleted at any time between runs. */
const KEPT = fileURLToPath(new URL("../../../.lab/cache", import.meta.url));

/**
 * A folder that is dear to make and the same each time, named after its recipe: all that it is made of. `make` fills the
 * empty folder that it is given. Whoever asks copies it and changes nothing in it.
 *
 * Two processes may ask at once: each makes its own beside, and the first that is ready gives it the name.
 */
export async function madeOnce(
  name: string,
  recipe: readonly (string | number)[],
  make: (folder: string) => Promise<void>,
  place = KEPT,
): Promise<string> {
  const key = createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 16);
  const made = join(place, `${name}-${key}`);
  if (existsSync(made)) return made;
  mkdirSync(place, { recursive: true });
  const beside = `${made}.${process.pid}`;
  rmSync(beside, { recursive: true, force: true });
  try {
    const folder = temporaryFolder(name);
    await make(folder);
    await copyFolder(folder, beside);
    renameSync(beside, made);
  } catch (error) {
    // The name is taken: another process was first.
    if (!existsSync(made)) throw error;
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
  return made;
}

/** Copies a folder with its owners and modes to a name that is free. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await promisify(execFile)("cp", ["--archive", "--reflink=auto", "--no-target-directory", "--", from, to]);
}
