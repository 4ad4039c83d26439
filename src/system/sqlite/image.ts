import * as fs from "node:fs/promises";
import { backup } from "node:sqlite";
import { MigrationError } from "../../errors.ts";
import type { Bytes } from "../bytes.ts";
import { withFileErrors } from "../files/file-errors.ts";
import type { Files } from "../files/files.ts";
import type { QuerySession } from "../query.ts";
import { databaseError, openDatabase, SqliteSession } from "./session.ts";

/** A database file that is complete by itself and that nobody writes to: it can be counted and streamed. */
export interface SqliteImage {
  /** Reads the file that `content` streams. Closed with the image. */
  readonly session: QuerySession;
  /** The size of `content` in bytes. */
  readonly size: number;
  /**
   * The bytes of the file, except that its header is set to need no -wal. Throws `source-changed` when another process
   * changed it since the image was opened.
   */
  content(): Bytes;
  /** May be called twice. */
  close(): Promise<void>;
}

/** Bytes read at once. */
const BLOCK = 1024 * 1024;
/** Bytes copied in one step of the backup API: between two steps progress is shown and an abort is noticed. */
const STEP = 4 * 1024 * 1024;

/**
 * Opens the file itself, without a lock. With `live`, a server may be running: then undefined when it could be using the
 * file. In rollback mode that leaves no trace between two transactions; in WAL mode the side files exist as long as the
 * database is open. Without `live`, undefined only when a side file has changes that are not in the file.
 */
export async function openUnused(
  path: string,
  live: boolean,
  files: Files,
  signal: AbortSignal,
): Promise<SqliteImage | undefined> {
  const beside = await sideSizes(path, files);
  if (beside.some((size) => (live ? size !== undefined : size !== undefined && size > 0))) return undefined;
  const file = await withFileErrors("read", path, () => fs.open(path, "r"));
  try {
    if (!live || (await isWalMode(file))) return await openImage(file, path, files, signal);
    await file.close();
    return undefined;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Copies the state at one moment to a new file, with SQLite's backup API. One read transaction lasts for the whole copy,
 * so it is one state and does not begin again when another process writes. The image stays readable after `target` is
 * removed. Throws `disk-full`, `database-unreachable`, `file-failed`.
 */
export async function copyDatabase(
  path: string,
  target: string,
  {
    files,
    signal,
    copied,
  }: { files: Files; signal: AbortSignal; copied: (bytes: number, total: number) => void },
): Promise<SqliteImage> {
  // SQLite gives its journal the mode of the file.
  await withFileErrors("create", target, () => fs.writeFile(target, "", { flag: "wx", mode: 0o600 }));
  const database = openDatabase(path, "shared");
  try {
    const session = new SqliteSession(database, path, signal);
    await session.beginSnapshot();
    const { page_size: pageSize } = await session.one<{ page_size: number }>("PRAGMA page_size");
    await backup(database, target, {
      rate: STEP / pageSize,
      progress({ totalPages, remainingPages }) {
        signal.throwIfAborted();
        copied((totalPages - remainingPages) * pageSize, totalPages * pageSize);
      },
    });
  } catch (error) {
    if (signal.aborted || error instanceof MigrationError) throw error;
    if ((error as { errcode?: number }).errcode === SQLITE_FULL)
      throw new MigrationError("disk-full", `cannot copy ${path} to ${target}: no space left`, {
        hint: "choose a folder on a larger disk: --out",
        cause: error,
      });
    throw databaseError(path, error);
  } finally {
    database.close();
  }
  const file = await withFileErrors("read", target, () => fs.open(target, "r"));
  return openImage(file, target, files, signal);
}

/** SQLite result code. */
const SQLITE_FULL = 13;

async function openImage(
  file: fs.FileHandle,
  path: string,
  files: Files,
  signal: AbortSignal,
): Promise<SqliteImage> {
  const state = async () => {
    const { size, mtimeMs } = await file.stat();
    // An empty side file has no changes.
    return [size, mtimeMs, ...(await sideSizes(path, files)).map((bytes) => bytes ?? 0)].join(" ");
  };
  const [seen, { size }] = [await state(), await file.stat()];
  const session = new SqliteSession(openDatabase(path, "immutable"), path, signal);
  let open = true;
  return {
    session,
    size,

    async *content() {
      for (let at = 0; at < size; at += BLOCK) {
        signal.throwIfAborted();
        const block = await readBlock(file, at, Math.min(BLOCK, size - at), path);
        // File format version 1: no -wal. So it can be opened by itself, also read-only.
        if (at === 0) block.fill(1, 18, 20);
        yield block;
      }
      if ((await state()) !== seen) throw changed(path);
    },

    async close() {
      await session.close();
      if (open) await file.close();
      open = false;
    },
  };
}

async function readBlock(file: fs.FileHandle, at: number, length: number, path: string): Promise<Buffer> {
  const block = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await withFileErrors("read", path, () =>
      file.read(block, done, length - done, at + done),
    );
    if (bytesRead === 0) throw changed(path);
    done += bytesRead;
  }
  return block;
}

const changed = (path: string) =>
  new MigrationError("source-changed", `${path} changed while it was read`, {
    hint: "another process has started to use it: stop that process, then run the same command again",
  });

/** The file format version for reading: https://sqlite.org/fileformat2.html, section 1.3. */
async function isWalMode(file: fs.FileHandle): Promise<boolean> {
  const header = Buffer.alloc(20);
  await file.read(header, 0, header.length, 0);
  return header[19] === 2;
}

/** The sizes of the -wal, the -shm and the -journal; the -shm never has changes, so its size counts as 0. */
const sideSizes = (path: string, files: Files) =>
  Promise.all(
    ["-wal", "-shm", "-journal"].map(async (suffix) => {
      const found = await files.lstat(`${path}${suffix}`);
      return found && suffix === "-shm" ? 0 : found?.size;
    }),
  );
