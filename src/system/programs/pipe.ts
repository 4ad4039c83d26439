import { execFile } from "node:child_process";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { MigrationError } from "../../errors.ts";
import { codeOf } from "../files/file-faults.ts";

/**
 * A pipe of the kernel between two programs. What Node calls a pipe is a pair of sockets, and what two programs say to
 * each other over those has to go through this process.
 */
export interface Pipe {
  /** Descriptor for the program that writes. */
  readonly writer: number;
  /** Descriptor for the program that reads. */
  readonly reader: number;
  /** Closes our copies of both. To be called as soon as both programs have theirs: else neither sees the other's end. */
  handedOver(): void;
  /** Instead, where nobody but we reads, from `reader`: closes what would keep us from seeing the writer's end. */
  readHere(): void;
  /**
   * To be called when the program that reads has gone: whether it had read everything and its writer had ended. Only
   * from then on can the writer notice that nobody reads any more.
   */
  wasEmptied(): boolean;
  /** Closes what is still open. May be called twice. */
  close(): void;
}

/** Throws `file-failed` when no pipe can be made in the folder for temporary files. Nothing of it stays there. */
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
    // fifo(7): opening one end waits for the other, unless it is told not to. The third is the program's, which waits.
    const watch = opened(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = opened(path, constants.O_WRONLY);
    const reader = opened(path, constants.O_RDONLY);
    return {
      writer,
      reader,
      handedOver: () => {
        close(writer, reader);
      },
      readHere: () => {
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
    throw new MigrationError(
      "file-failed",
      `no pipe can be made in ${temporary}: ${(error as Error).message.trim()}`,
      { hint: "name another folder for temporary files: TMPDIR=/var/tmp", cause: error },
    );
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

/** pipe(7): reading gives nothing once all writers have closed; before that it gives bytes, or would have to wait. */
function isAtEnd(descriptor: number): boolean {
  try {
    return readSync(descriptor, Buffer.alloc(1)) === 0;
  } catch (error) {
    if (codeOf(error) === "EAGAIN") return false;
    throw error;
  }
}
