import { constants, type Stats } from "node:fs";
import * as fs from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { MigrationError } from "../../errors.ts";

/** Time-outs for a named pipe in milliseconds: until it is opened for writing, and then for the next bytes. */
const TIMEOUTS = { writer: 10_000, bytes: 300_000 };

/**
 * The content of a small file or of a named pipe. Opened non-blocking, because an open that waits for a writer cannot
 * be cancelled. Throws file system errors, and a `MigrationError` when it is longer than `limit` bytes or nothing is
 * written to the pipe.
 */
export async function readWholeFile(path: string, limit: number, patience = TIMEOUTS): Promise<Uint8Array> {
  const file = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (stat.size > limit) throw tooLarge(path, stat.size);
    // Pipes and devices report a size of 0 and may never end.
    const start = Buffer.alloc(Math.min(limit + 1, 64 * 1024));
    const chunks: Uint8Array[] = [];
    let waited = 0;
    for (let total = 0; ;) {
      const read = await readSome(file, start);
      if (read === 0 && !mayStillCome(stat, total)) return Buffer.concat(chunks);
      if (read === undefined || read === 0) {
        if (waited >= (read === 0 ? patience.writer : patience.bytes)) throw noWriter(path);
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

/** Milliseconds between two reads of a pipe. */
const STEP = 20;

/** A pipe without a writer reports the end of the file, whether the writer has not opened it yet or has closed it. */
const mayStillCome = (stat: Stats, total: number) => stat.isFIFO() && total === 0;

/** Undefined when no data is available. */
async function readSome(file: fs.FileHandle, into: Buffer): Promise<number | undefined> {
  try {
    return (await file.read(into, 0, into.length)).bytesRead;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw error;
  }
}

const noWriter = (path: string) =>
  new MigrationError("file-failed", `timed out waiting for data from the pipe ${path}`, {
    hint: "name a regular file, or start the program that writes into the pipe first",
  });

const tooLarge = (path: string, size: number) =>
  new MigrationError("file-failed", `${path} is too large for its purpose: ${size} bytes`);
