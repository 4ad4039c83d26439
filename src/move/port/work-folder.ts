import { join } from "node:path";
import type { Files } from "../../system/files/files.ts";

/** Removes the folder of a private copy, with what Synapse's programs left in it. Does nothing when there is none. */
export async function removeWork(work: string, files: Files): Promise<void> {
  if ((await files.lstat(work))?.kind !== "folder") return;
  for (const name of await files.list(work)) {
    const path = join(work, name);
    if ((await files.lstat(path))?.kind === "folder") await removeWork(path, files);
    else await files.remove(path);
  }
  await files.removeEmptyFolder(work);
}
