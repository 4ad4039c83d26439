import { resolve } from "node:path";

/** A path in Synapse's container and the path of the same file or folder on this host. Both absolute. */
export interface PathPair {
  readonly inside: string;
  readonly outside: string;
}

/** Converts a path of Synapse to its path on this host. The longest matching `inside` wins; without a match it is unchanged. */
export function onThisHost(path: string, map: readonly PathPair[]): string {
  let best: { pair: PathPair; rest: string } | undefined;
  for (const pair of map) {
    const rest = restOf(path, resolve(pair.inside));
    if (rest !== undefined && (best === undefined || rest.length < best.rest.length)) best = { pair, rest };
  }
  return best ? resolve(best.pair.outside, `.${best.rest}`) : path;
}

/** Whether a path of Synapse exists on this host: it is below a mapped folder, or there are no mappings. */
export function isOnThisHost(path: string, map: readonly PathPair[]): boolean {
  return map.length === 0 || map.some(({ inside }) => restOf(path, resolve(inside)) !== undefined);
}

/** What is left of a path below a folder: "" for the folder itself, else beginning with a slash. */
function restOf(path: string, folder: string): string | undefined {
  if (path === folder) return "";
  if (folder === "/") return path;
  return path.startsWith(`${folder}/`) ? path.slice(folder.length) : undefined;
}
