import { statfs } from "node:fs/promises";
import { MigrationError } from "../errors.ts";
import type { Call } from "./call.ts";

/** What a program says when it cannot write, by strerror(3): it writes to nothing but the file that it was given. */
const CANNOT_WRITE = {
  ENOSPC: "No space left on device",
  EDQUOT: "Disk quota exceeded",
  EFBIG: "File too large",
};

/** A program's failure as the errno of what kept it from writing into this open file, where it says that it could not. */
export async function asWriteError(
  error: unknown,
  { name, cannotWrite }: Pick<Call, "name" | "cannotWrite">,
  descriptor: number,
): Promise<unknown> {
  const program = error instanceof MigrationError ? error.reason : undefined;
  const isIts =
    (program?.kind === "gnupg" && name === "gpg") ||
    (program?.kind === "exit-status" && program.program === name);
  if (!(error instanceof MigrationError) || !isIts) return error;
  const { message } = error;
  let code = Object.entries(CANNOT_WRITE).find(([, words]) => message.includes(words))?.[0];
  if (code === undefined && cannotWrite !== undefined && message.includes(cannotWrite))
    code = (await hasNoRoom(descriptor)) ? "ENOSPC" : "EIO";
  return code === undefined ? error : Object.assign(new Error(message, { cause: error }), { code });
}

/** A program writes less than this at once: where it found no room, no more is left. */
const ROOM = 1024 * 1024;

/** proc(5): the link leads to the open file, whatever it is called by now. */
async function hasNoRoom(descriptor: number): Promise<boolean> {
  const { bavail, bsize } = await statfs(`/proc/self/fd/${descriptor}`);
  return bavail * bsize < ROOM;
}
