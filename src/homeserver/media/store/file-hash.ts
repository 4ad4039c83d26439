import { Digester } from "../../../pipeline/digest.ts";
import type { Files } from "../../../system/files/files.ts";

/** The SHA-256 of a file, in lower-case hex; undefined when it is not there. */
export async function fileHash(path: string, files: Files): Promise<string | undefined> {
  if (!(await files.lstat(path))) return undefined;
  const tally = new Digester();
  for await (const chunk of files.read(path)) tally.add(chunk);
  return tally.result().sha256;
}
