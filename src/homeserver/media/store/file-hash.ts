import { digestOf } from "../../../pipeline/digest.ts";
import type { Files } from "../../../system/files/files.ts";

/** The SHA-256 of a file, in lower-case hex; undefined when it is not there. */
export async function fileHash(path: string, files: Files): Promise<string | undefined> {
  if (!(await files.lstat(path))) return undefined;
  return (await digestOf(files.read(path))).sha256;
}
