import { dirname } from "node:path";
import type { Files } from "../system/files.ts";

/** Whom what is restored is to belong to; ourselves when left out. */
export type Owner = { readonly uid: number; readonly gid: number } | undefined;

/**
 * A private folder that its owner can reach: every folder made on the way belongs to it too, as a parent that only root
 * may enter would lock Synapse out of its own files.
 */
export async function makeOwnedFolder(path: string, owner: Owner, files: Files): Promise<void> {
  const first = await files.makeFolder(path);
  if (first === undefined || owner === undefined) return;
  for (let one = path; one.length >= first.length; one = dirname(one))
    await files.setOwner(one, owner.uid, owner.gid);
}
