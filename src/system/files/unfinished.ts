import { constants } from "node:fs";
import * as fs from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { MigrationError } from "../../errors.ts";
import type { Output } from "../programs/call.ts";
import { attempt, codeOf } from "./file-faults.ts";

export interface BeginOptions {
  /** False: `finish` does not wait for the disk. For many small files, followed by one `syncAll`. */
  readonly sync?: boolean;
}

/** A file that nobody can take for a finished one: it has a temporary name beside its later one. */
export interface Unfinished {
  /** Where it lies until it is finished. */
  readonly path: string;
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Lets a program write its output into it by itself, and tells how many bytes have come since it last told, some
   * times a second. When `wrote` throws, the program is ended and that is thrown. Throws as `write`, and as reading
   * the output does.
   */
  takeFrom(output: Output, wrote: (bytes: number) => void): Promise<void>;
  /** Bytes written so far. */
  readonly size: number;
  /** Checks the byte count, syncs, renames, syncs the folder. */
  finish(): Promise<void>;
  /** Removes it. May be called after a failure, twice, and after `finish`, where it does nothing. */
  abandon(): Promise<void>;
}

/**
 * Bytes after which the disk begins to write, while more are on their way: else all of it waits for `finish`. Its words
 * on that are heard when the file is finished.
 */
const SYNC_EVERY = 32 * 1024 * 1024;

/** Milliseconds between two looks at how far a program has come. */
const LOOK_EVERY = 50;

/** How temporary names end, so that what a killed run left can be found and removed. */
export const UNFINISHED_SUFFIX = ".unfinished";

/** A rename puts a file in the place of anything, of a device too: `/dev/null` would be gone for the whole host. */
async function mustBeReplaceable(path: string): Promise<void> {
  const found = await fs.lstat(path).catch(() => undefined);
  if (!found || found.isFile() || found.isSymbolicLink()) return;
  throw new MigrationError("file-failed", `${path} is there already, and is no ordinary file`, {
    hint: "name a file that is new, or one that may be written over",
  });
}

/** See `Files.begin`. */
export async function beginFile(path: string, mode: number, sync: boolean): Promise<Unfinished> {
  await mustBeReplaceable(path);
  const temporary = join(dirname(path), `.${basename(path)}${UNFINISHED_SUFFIX}`);
  // Left by a run that was killed. Whoever writes here holds the lock, so it is nobody's.
  await attempt("remove", temporary, () => fs.rm(temporary, { force: true }));
  const file = await attempt("create", temporary, () => fs.open(temporary, "wx", mode));
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
        const { bytesWritten } = await attempt("write", path, () => file.write(chunk, offset));
        offset += bytesWritten;
        size += bytesWritten;
      }
      beginSync();
    },
    async takeFrom(output, wrote) {
      const stop = new AbortController();
      const writing = attempt("write", path, () => output.into(file.fd, stop.signal)).finally(() => {
        stop.abort();
      });
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
      await attempt("write", path, async () => {
        await syncing;
        if (syncFailure) throw syncFailure.error;
        const { size: onDisk } = await file.stat();
        if (onDisk !== size) {
          throw new MigrationError(
            "file-failed",
            `${path} has ${onDisk} bytes on disk, ${size} were written`,
          );
        }
        // The mode given to open() was cut by the umask; this one is meant.
        await file.chmod(mode);
        if (sync) await file.sync();
        await close();
        await fs.rename(temporary, path);
      });
      finished = true;
      if (sync) await syncFolder(dirname(path));
    },
    async abandon() {
      if (finished) return;
      await close().catch(() => undefined);
      await fs.rm(temporary, { force: true });
    },
  };
}

/** Makes the names in a folder last. */
export async function syncFolder(path: string): Promise<void> {
  await attempt("sync", path, async () => {
    const folder = await fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await folder.sync();
    } catch (error) {
      // Some network file systems cannot sync a folder and say so; anything else is a real failure.
      if (codeOf(error) !== "EINVAL" && codeOf(error) !== "ENOTSUP") throw error;
    } finally {
      await folder.close();
    }
  });
}
