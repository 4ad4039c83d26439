import { basename, dirname, join } from "node:path";
import { type Files, UNFINISHED_SUFFIX } from "./files.ts";

/** Whom what is restored is to belong to; ourselves when left out. */
export type Owner = { readonly uid: number; readonly gid: number } | undefined;

/**
 * A private folder that its owner can reach: every folder made on the way belongs to it too, as a parent that only root
 * may enter would lock Synapse out of its own files. Each has its name only once it has its owner. May be repeated after
 * a break.
 */
export async function makeOwnedFolder(path: string, owner: Owner, files: Files): Promise<void> {
  if (owner === undefined) {
    await files.makeFolder(path);
    return;
  }
  if ((await files.follow(path))?.kind === "folder") return;
  await makeOwnedFolder(dirname(path), owner, files);
  const unfinished = join(dirname(path), `.${basename(path)}${UNFINISHED_SUFFIX}`);
  await files.makeFolder(unfinished);
  await files.setOwner(unfinished, owner.uid, owner.gid);
  await files.rename(unfinished, path);
}
