import { constants, type Stats } from "node:fs";
import * as fs from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { MigrationError } from "../../errors.ts";

/** Milliseconds that a named pipe is waited for: until somebody opens it for writing, and then for the next bytes. */
const PATIENCE = { writer: 10_000, bytes: 300_000 };

/**
 * The whole of a small file, or what somebody writes into a named pipe. Opened so that nothing blocks: an open that waits
 * for a writer could never be taken back. Throws what the file system throws, and a `MigrationError` when it is longer
 * than `limit` bytes or nobody writes.
 */
export async function readWholeFile(path: string, limit: number, patience = PATIENCE): Promise<Uint8Array> {
  const file = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (stat.size > limit) throw tooLarge(path, stat.size);
    // A pipe or a device says that it has no size, and may never end.
    const start = Buffer.alloc(Math.min(limit + 1, 64 * 1024));
    const chunks: Uint8Array[] = [];
    let waited = 0;
    for (let total = 0; ;) {
      const read = await readSome(file, start);
      if (read === 0 && !mayStillCome(stat, total)) return Buffer.concat(chunks);
      if (read === undefined || read === 0) {
        if (waited >= (read === 0 ? patience.writer : patience.bytes)) throw silent(path);
        waited += STEP;
        await wait(STEP);
        continue;
      }
      chunks.push(Uint8Array.from(start.subarray(0, read)));
      waited = 0;
      total += read;
      if (total > limit) throw tooLarge(path, total);
    }
  } finally {
    await file.close();
  }
}

/** Milliseconds between two looks at a pipe. */
const STEP = 20;

/** A pipe that nobody has opened for writing yet ends at once, as does one whose writer has gone. */
const mayStillCome = (stat: Stats, total: number) => stat.isFIFO() && total === 0;

/** Undefined when there is nothing to read now. */
async function readSome(file: fs.FileHandle, into: Buffer): Promise<number | undefined> {
  try {
    return (await file.read(into, 0, into.length)).bytesRead;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw error;
  }
}

const silent = (path: string) =>
  new MigrationError("file-failed", `${path} is a pipe into which nobody writes`, {
    hint: "name a file, or start what writes into it first",
  });

const tooLarge = (path: string, size: number) =>
  new MigrationError("file-failed", `${path} is too large to be what it should be: ${size} bytes`);
