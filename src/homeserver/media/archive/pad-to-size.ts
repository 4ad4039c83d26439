import { createHash } from "node:crypto";
import { MigrationError } from "../../../errors.ts";
import type { Bytes } from "../../../pipeline/transform.ts";

/** What became of a file that was to have so many bytes. */
export interface PaddedRead {
  /** Of what was read. */
  readonly sha256: string;
  /** Why that is not all of it, or not it; undefined when it is. */
  readonly fault: string | undefined;
}

const ZEROS = new Uint8Array(64 * 1024);

/**
 * Yields exactly `size` bytes, whatever the source has, as the tar header in front of it has that size. Missing bytes are
 * zeros, surplus bytes are dropped. `tell` is called once, at the end, with the hash of what the source gave or with
 * what was wrong with it.
 */
export async function* readExactly(
  source: Bytes,
  size: number,
  tell: (read: PaddedRead) => Promise<void>,
): Bytes {
  const hash = createHash("sha256");
  let given = 0;
  let fault: string | undefined;
  try {
    for await (const chunk of source) {
      // The chunk itself where it may be: a view of it cannot be given back.
      const taken = chunk.length > size - given ? chunk.subarray(0, size - given) : chunk;
      if (taken.length < chunk.length) fault = "it has grown while it was read";
      hash.update(taken);
      given += taken.length;
      if (taken.length > 0) yield taken;
      if (fault !== undefined) break;
    }
    if (given < size) fault = `it ended after ${given} of ${size} bytes`;
  } catch (error) {
    if (!(error instanceof MigrationError) || !SINGLE_FILE_ERRORS.has(error.code)) throw error;
    fault = error.message;
  }
  for (; given < size; given += ZEROS.length) yield ZEROS.subarray(0, size - given);
  await tell({ sha256: hash.digest("hex"), fault });
}

/** Errors that concern a single file and not the others. */
const SINGLE_FILE_ERRORS = new Set<string>(["file-missing", "file-failed", "permission-denied"]);
