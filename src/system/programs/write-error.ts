import { statfs } from "node:fs/promises";
import { MigrationError } from "../../errors.ts";
import type { ProgramCall } from "./call.ts";

/** Messages of strerror(3) for write errors. The program writes only to the given file. */
const CANNOT_WRITE = {
  ENOSPC: "No space left on device",
  EDQUOT: "Disk quota exceeded",
  EFBIG: "File too large",
};

/** Adds the errno of the write error to a program's failure, if its message reports one for this open file. */
export async function asWriteError(
  error: unknown,
  { name, writeErrorText }: Pick<ProgramCall, "name" | "writeErrorText">,
  descriptor: number,
): Promise<unknown> {
  const reason = error instanceof MigrationError ? error.reason : undefined;
  const isOfProgram =
    (reason?.kind === "gnupg" && name === "gpg") ||
    (reason?.kind === "exit-status" && reason.program === name);
  if (!(error instanceof MigrationError) || !isOfProgram) return error;
  const { message } = error;
  let code = Object.entries(CANNOT_WRITE).find(([, words]) => message.includes(words))?.[0];
  if (code === undefined && writeErrorText !== undefined && message.includes(writeErrorText))
    code = (await isDiskFull(descriptor)) ? "ENOSPC" : "EIO";
  return code === undefined ? error : Object.assign(new Error(message, { cause: error }), { code });
}

/** Free bytes below which the disk counts as full; programs write less than this at a time. */
const MINIMUM_FREE = 1024 * 1024;

/** proc(5): the link refers to the open file, even after a rename. */
async function isDiskFull(descriptor: number): Promise<boolean> {
  const { bavail, bsize } = await statfs(`/proc/self/fd/${descriptor}`);
  return bavail * bsize < MINIMUM_FREE;
}
