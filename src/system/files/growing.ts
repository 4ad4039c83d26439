import { constants } from "node:fs";
import * as fs from "node:fs/promises";
import { MigrationError } from "../../errors.ts";
import { withFileErrors } from "./file-errors.ts";

/** A file that is written in several runs, each of which continues where the one before it stopped. */
export interface GrowingFile {
  write(chunk: Uint8Array): Promise<void>;
  /** Resolves when everything written is on disk. */
  sync(): Promise<void>;
  /** May be called twice. */
  close(): Promise<void>;
}

/** Bytes after which data is synced, so that a crash loses little and the last sync is short. */
const SYNC_EVERY = 64 * 1024 * 1024;

/**
 * Opens a private file to write from an offset, and cuts off what is behind it; creates it when the offset is 0. Throws
 * `file-failed` when it is shorter than that, or no regular file. Does not follow a symbolic link.
 */
export async function growFile(path: string, from: number): Promise<GrowingFile> {
  const flags = constants.O_WRONLY | constants.O_NOFOLLOW | (from === 0 ? constants.O_CREAT : 0);
  const file = await withFileErrors("open", path, () => fs.open(path, flags, 0o600));
  let [at, synced, open] = [from, from, true];
  const close = async () => {
    if (open) await file.close();
    open = false;
  };
  const sync = () => withFileErrors("write", path, () => file.datasync());
  try {
    const found = await withFileErrors("look at", path, () => file.stat());
    if (!found.isFile() || found.size < from)
      throw new MigrationError("file-failed", `${path} cannot be continued at byte ${from}`, {
        hint: "remove it, and run the same command again",
      });
    // Asked for only where it is needed: on a share that hangs it may be carried out late, when another attempt has finished the file.
    if (found.size > from) await withFileErrors("write", path, () => file.truncate(from));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async write(chunk) {
      for (let offset = 0; offset < chunk.length;) {
        const left = chunk.length - offset;
        const { bytesWritten } = await withFileErrors("write", path, () =>
          file.write(chunk, offset, left, at),
        );
        offset += bytesWritten;
        at += bytesWritten;
      }
      if (at - synced < SYNC_EVERY) return;
      synced = at;
      await sync();
    },
    sync,
    close,
  };
}
