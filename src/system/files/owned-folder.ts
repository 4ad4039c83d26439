import { basename, dirname, join } from "node:path";
import { type Files, UNFINISHED_SUFFIX } from "./files.ts";

/** The owner of restored files; the current user when undefined. */
export type Owner = { readonly uid: number; readonly gid: number } | undefined;

/**
 * Gives a folder to its owner that a person has made for it as root, and that nobody else can enter: it is empty, but for what is named.
 * Any other folder stays as it is.
 */
export async function giveEmptyFolder(
  path: string,
  owner: Exclude<Owner, undefined>,
  except: readonly string[],
  files: Files,
): Promise<void> {
  if (!(await mayBeGiven(path, except, files))) return;
  await files.setOwner(path, owner.uid, owner.gid);
}

/** Whether `giveEmptyFolder` gives it away. Changes nothing. */
export async function mayBeGiven(path: string, except: readonly string[], files: Files): Promise<boolean> {
  const found = await files.lstat(path);
  if (found?.kind !== "folder" || found.uid !== 0 || (found.mode & 0o077) !== 0) return false;
  return (await files.list(path)).every((name) => except.includes(name));
}

/**
 * Creates a private folder that its owner can reach: created parents get the same owner, because a parent that only root
 * can enter would lock Synapse out of its files. Each gets its name only once it has its owner. May be repeated after an
 * interruption.
 */
export async function makeOwnedFolder(path: string, owner: Owner, files: Files): Promise<void> {
  if (owner === undefined) {
    await files.makeFolder(path);
    return;
  }
  if ((await files.stat(path))?.kind === "folder") return;
  await makeOwnedFolder(dirname(path), owner, files);
  const unfinished = join(dirname(path), `.${basename(path)}${UNFINISHED_SUFFIX}`);
  await files.makeFolder(unfinished);
  await files.setOwner(unfinished, owner.uid, owner.gid);
  await files.rename(unfinished, path);
}
