import { join } from "node:path";
import type { Files } from "../../../system/files/files.ts";

/** Where the private copy of a database is made: beside a bundle's folder, so that copying that folder never copies it. */
export const privateCopyFolder = (bundle: string) => `${bundle}.database-copy`;

/** Removes what an interrupted run left of a private copy. The bundle must be locked. Does nothing when there is none. */
export async function removePrivateCopy(bundle: string, files: Files): Promise<void> {
  const folder = privateCopyFolder(bundle);
  if ((await files.lstat(folder))?.kind !== "folder") return;
  for (const name of await files.list(folder)) await files.remove(join(folder, name));
  await files.removeEmptyFolder(folder);
}

/** The bytes of what an interrupted run left, which the next one removes. */
export async function privateCopyBytes(bundle: string, files: Files): Promise<number> {
  const folder = privateCopyFolder(bundle);
  if ((await files.lstat(folder))?.kind !== "folder") return 0;
  let bytes = 0;
  for (const name of await files.list(folder)) bytes += (await files.lstat(join(folder, name)))?.size ?? 0;
  return bytes;
}
