import { getAsset, isSea } from "node:sea";
import { Worker, type WorkerOptions } from "node:worker_threads";

/**
 * Runs a file of this program in a thread of its own, without the environment and without Node's options. `url` is the file's own
 * `import.meta.url`. In the single executable there are no files: scripts/single/ has put the script of each thread into it,
 * under that address.
 */
export function startThread(url: string, options: WorkerOptions): Worker {
  const alone = { ...options, env: {}, execArgv: [] };
  return isSea()
    ? new Worker(getAsset(url, "utf8"), { ...alone, eval: true })
    : new Worker(new URL(url), alone);
}
