import { resolve } from "node:path";

/** A folder or file as Synapse sees it, and where the same one lies on this host: what a container mounts. Both absolute. */
export interface PathPair {
  readonly inside: string;
  readonly outside: string;
}

/** Where a path of Synapse's lies on this host. The longest `inside` that leads to it wins; one that none leads to stays. */
export function onThisHost(path: string, map: readonly PathPair[]): string {
  let best: { pair: PathPair; rest: string } | undefined;
  for (const pair of map) {
    const rest = restOf(path, resolve(pair.inside));
    if (rest !== undefined && (best === undefined || rest.length < best.rest.length)) best = { pair, rest };
  }
  return best ? resolve(best.pair.outside, `.${best.rest}`) : path;
}

/** Whether a path of Synapse's lies in something that this host has too. Without a map all of them do. */
export function isOnThisHost(path: string, map: readonly PathPair[]): boolean {
  return map.length === 0 || map.some(({ inside }) => restOf(path, resolve(inside)) !== undefined);
}

/** What is left of a path below a folder: "" for the folder itself, else beginning with a slash. */
function restOf(path: string, folder: string): string | undefined {
  if (path === folder) return "";
  if (folder === "/") return path;
  return path.startsWith(`${folder}/`) ? path.slice(folder.length) : undefined;
}
