import { execFile } from "node:child_process";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, toTemporaryError, withoutCoreutils } from "../files/file-errors.ts";

/**
 * A kernel pipe between two programs. What Node calls a pipe is a pair of sockets, so data between two programs would
 * pass through this process.
 */
export interface Pipe {
  /** Descriptor for the program that writes. */
  readonly writer: number;
  /** Descriptor for the program that reads. */
  readonly reader: number;
  /** Closes both descriptors here. Call it when both programs have started, else neither notices the other's end. */
  closeOwnEnds(): void;
  /** Used instead when this process reads from `reader`: closes the others, so that the end of the writer is noticed. */
  keepReaderOnly(): void;
  /**
   * To be called when the reading program has ended: whether it had read everything and the writer had closed the pipe.
   * Only after this call does the writer notice that there is no reader.
   */
  wasEmptied(): boolean;
  /** Closes what is still open. May be called twice. */
  close(): void;
}

/** Throws `program-missing`, or what `toTemporaryError` gives when no pipe can be created in the temporary folder. No file remains there. */
export async function openPipe(temporary = tmpdir()): Promise<Pipe> {
  let folder: string | undefined;
  const open: number[] = [];
  const opened = (path: string, flags: number) => {
    const descriptor = openSync(path, flags);
    open.push(descriptor);
    return descriptor;
  };
  const close = (...descriptors: number[]) => {
    for (const descriptor of descriptors) {
      const at = open.indexOf(descriptor);
      if (at === -1) continue;
      open.splice(at, 1);
      closeSync(descriptor);
    }
  };
  try {
    folder = await mkdtemp(join(temporary, "synlift-pipe-"));
    const path = join(folder, "pipe");
    await promisify(execFile)("mkfifo", ["-m", "600", path]);
    // fifo(7): opening one end blocks until the other is open, except with O_NONBLOCK. The program's end must block.
    const watch = opened(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = opened(path, constants.O_WRONLY);
    const reader = opened(path, constants.O_RDONLY);
    return {
      writer,
      reader,
      closeOwnEnds: () => {
        close(writer, reader);
      },
      keepReaderOnly: () => {
        close(writer, watch);
      },
      wasEmptied: () => {
        if (!open.includes(watch)) return true;
        const ended = isAtEnd(watch);
        close(watch);
        return ended;
      },
      close: () => {
        close(...open);
      },
    };
  } catch (error) {
    close(...open);
    throw toTemporaryError(withoutCoreutils(error), "a pipe", temporary);
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

/** pipe(7): a read returns 0 bytes once all writers have closed; before that it returns data or would block. */
function isAtEnd(descriptor: number): boolean {
  try {
    return readSync(descriptor, Buffer.alloc(1)) === 0;
  } catch (error) {
    if (errnoOf(error) === "EAGAIN") return false;
    throw error;
  }
}
