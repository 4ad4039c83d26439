import { getAsset, isSea } from "node:sea";
import { Worker, type WorkerOptions } from "node:worker_threads";

// synlift as one executable file (scripts/single.ts): there are no files of ours, so what would be one is an asset inside.

/**
 * Runs a file of this program in a thread of its own, without the environment and without Node's options. `url` is the file's own
 * `import.meta.url`. In the single executable it is the address of the thread's script, which the build has put there.
 */
export function startThread(url: string, options: WorkerOptions): Worker {
  const alone = { ...options, env: {}, execArgv: [] };
  return isSea()
    ? new Worker(getAsset(url, "utf8"), { ...alone, eval: true })
    : new Worker(new URL(url), alone);
}

/** Whether this program is the one executable file. */
export const isSingleExecutable = (): boolean => isSea();

/** The licences of synlift and of all that is in the same file; elsewhere each package has its own beside it. */
export function readLicences(): string {
  return isSea()
    ? getAsset("LICENSES.txt", "utf8")
    : "synlift: Apache-2.0, in its file LICENSE. Its packages are in node_modules, each with its licence.\n";
}
