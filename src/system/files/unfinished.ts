import { constants } from "node:fs";
import * as fs from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { MigrationError } from "../../errors.ts";
import type { Output } from "../programs/call.ts";
import { addTime, shortTime } from "../trace/trace.ts";
import { errnoOf, withFileErrors } from "./file-errors.ts";

export interface BeginOptions {
  /** False: `finish` does not sync. For many small files, followed by one `syncAll`. */
  readonly sync?: boolean;
}

/** A file that is being written under a temporary name, in the folder of its final name. */
export interface Unfinished {
  /** The temporary path. */
  readonly path: string;
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Lets a program write its output directly into the file. `wrote` is called several times a second with the number
   * of new bytes. When `wrote` throws, the program is killed and its error is thrown. Throws as `write`, and as reading
   * the output does.
   */
  pipeFrom(output: Output, wrote: (bytes: number) => void): Promise<void>;
  /** Bytes written so far. */
  readonly size: number;
  /** Checks the byte count, syncs, renames, syncs the folder. */
  finish(): Promise<void>;
  /** Removes the file. May be called after a failure and twice; after `finish` it does nothing. */
  abandon(): Promise<void>;
}

/**
 * Bytes after which data is synced in the background, so that `finish` has little left to sync. Errors of these syncs
 * are thrown by `finish`.
 */
const SYNC_EVERY = 32 * 1024 * 1024;

/** Milliseconds between two checks of the size that a program has written. */
const LOOK_EVERY = 50;

/** The suffix of temporary names, by which the remains of a killed run are found and removed. */
export const UNFINISHED_SUFFIX = ".unfinished";

/** A rename replaces even a device: `/dev/null` would be lost for the whole host. */
async function assertReplaceable(path: string): Promise<void> {
  const found = await fs.lstat(path).catch(() => undefined);
  if (!found || found.isFile() || found.isSymbolicLink()) return;
  throw new MigrationError("file-failed", `${path} exists and is not a regular file`, {
    hint: "give the path of a new file, or of a regular file that may be overwritten",
  });
}

/** See `Files.begin`. */
export async function beginFile(path: string, mode: number, sync: boolean): Promise<Unfinished> {
  await assertReplaceable(path);
  const temporary = join(dirname(path), `.${basename(path)}${UNFINISHED_SUFFIX}`);
  // Left by a killed run. The caller holds the lock, so no other process is using it.
  await withFileErrors("remove", temporary, () => fs.rm(temporary, { force: true }));
  const file = await withFileErrors("create", temporary, () => fs.open(temporary, "wx", mode));
  let size = 0;
  let open = true;
  let finished = false;
  let syncedTo = 0;
  let syncing: Promise<void> | undefined;
  let syncFailure: { error: unknown } | undefined;
  const beginSync = () => {
    if (!sync || syncing || size - syncedTo < SYNC_EVERY) return;
    syncedTo = size;
    syncing = file
      .datasync()
      .catch((error: unknown) => {
        syncFailure ??= { error };
      })
      .finally(() => (syncing = undefined));
  };
  const close = async () => {
    if (!open) return;
    open = false;
    await syncing;
    await file.close();
  };

  return {
    path: temporary,
    get size() {
      return size;
    },
    async write(chunk) {
      for (let offset = 0; offset < chunk.length;) {
        const { bytesWritten } = await withFileErrors("write", path, () => file.write(chunk, offset));
        offset += bytesWritten;
        size += bytesWritten;
      }
      beginSync();
    },
    async pipeFrom(output, wrote) {
      const stop = new AbortController();
      const writing = withFileErrors("write", path, () => output.writeTo(file.fd, stop.signal)).finally(
        () => {
          stop.abort();
        },
      );
      writing.catch(() => undefined);
      try {
        for (let last = false; !last;) {
          last = stop.signal.aborted;
          const before = size;
          ({ size } = await file.stat());
          if (size > before) wrote(size - before);
          beginSync();
          if (!last) await wait(LOOK_EVERY, undefined, { signal: stop.signal }).catch(() => undefined);
        }
      } catch (error) {
        stop.abort(error);
        await writing.catch(() => undefined);
        throw error;
      }
      await writing;
    },
    async finish() {
      const began = shortTime();
      await withFileErrors("write", path, async () => {
        await syncing;
        if (syncFailure) throw syncFailure.error;
        const { size: onDisk } = await file.stat();
        if (onDisk !== size) {
          throw new MigrationError(
            "file-failed",
            `${path} has ${onDisk} bytes on disk, ${size} were written`,
          );
        }
        // The mode passed to open() was reduced by the umask.
        await file.chmod(mode);
        if (sync) await file.sync();
        await close();
        await fs.rename(temporary, path);
      });
      finished = true;
      if (sync) await syncFolder(dirname(path));
      addTime(sync ? "files finished and synced" : "files finished", began);
    },
    async abandon() {
      if (finished) return;
      await close().catch(() => undefined);
      await fs.rm(temporary, { force: true });
    },
  };
}

/** Syncs a folder, so that its entries are durable. */
export async function syncFolder(path: string): Promise<void> {
  await withFileErrors("sync", path, async () => {
    const folder = await fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await folder.sync();
    } catch (error) {
      // Some network file systems do not support this; other errors are real failures.
      if (errnoOf(error) !== "EINVAL" && errnoOf(error) !== "ENOTSUP") throw error;
    } finally {
      await folder.close();
    }
  });
}
