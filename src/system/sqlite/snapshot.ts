import * as fs from "node:fs/promises";
import { MigrationError } from "../../errors.ts";
import type { Bytes } from "../bytes.ts";
import { toFileError } from "../files/file-errors.ts";
import type { Files } from "../files/files.ts";
import type { QuerySession } from "../query.ts";
import { databaseError, openDatabase, SqliteSession } from "./session.ts";
import { readWalPosition, WalPages, type WalPosition } from "./wal.ts";

/** A consistent snapshot of a database, also while other processes write to it. */
export interface SqliteSnapshot {
  /** A session in the same transaction that `content` copies. Closed with the snapshot. */
  readonly session: QuerySession;
  /** The size of `content` in bytes. */
  readonly size: number;
  /**
   * A self-contained database file: it includes the content of the -wal, and its header is set to need none.
   * Throws `source-changed` when the file was opened as unused and was changed by another process.
   */
  content(): Bytes;
  /** May be called twice. */
  close(): Promise<void>;
}

export interface SnapshotOptions {
  /** Whether there are no -wal, -shm and -journal files, which means that the database is not open. */
  readonly isUnused: boolean;
  readonly files: Files;
  readonly signal: AbortSignal;
}

/** Bytes read at once: a multiple of every page size, which is at most 64 KiB. */
const BLOCK = 1024 * 1024;
/** Attempts to begin between two transactions of other processes. */
const ATTEMPTS = 1000;

/**
 * Begins a read transaction and keeps it open. Meanwhile SQLite neither restarts the -wal (if it has pages that the
 * file lacks) nor checkpoints newer pages into the file; pages that it does checkpoint are those that the copy takes
 * from the -wal anyway. `path` must not contain symbolic links.
 * Throws `database-unreachable`.
 */
export async function takeSnapshot(path: string, options: SnapshotOptions): Promise<SqliteSnapshot> {
  const held = new HeldSnapshot(path, options);
  try {
    await held.begin();
    return held;
  } catch (error) {
    await held.close();
    throw error instanceof MigrationError ? error : toFileError(error, "read", path);
  }
}

class HeldSnapshot implements SqliteSnapshot {
  readonly #path: string;
  readonly #options: SnapshotOptions;
  /**
   * A process loses its POSIX locks on a file, including those of SQLite, when it closes any descriptor of that file
   * (fcntl(2)): so these stay open until SQLite has closed the database.
   */
  readonly #handles: fs.FileHandle[] = [];
  #session: SqliteSession | undefined;
  #file: fs.FileHandle | undefined;
  #shm: fs.FileHandle | undefined;
  #mark: WalPosition | undefined;
  #wal: WalPages | undefined;
  #unlocked = false;
  #seen = "";
  #pageSize = 0;
  size = 0;

  constructor(path: string, options: SnapshotOptions) {
    this.#path = path;
    this.#options = options;
  }

  get session(): QuerySession {
    return this.#session!;
  }

  async begin(): Promise<void> {
    const { isUnused, signal } = this.#options;
    this.#file = await this.#open("");
    this.#seen = await this.#state();
    // In rollback mode a database in use may have no side files, and locking it creates none.
    const isOldKind = (await this.#read(0, 20))[18] === 1;
    this.#unlocked = isUnused && !isOldKind;
    const database = openDatabase(this.#path, this.#unlocked ? "immutable" : "shared");
    this.#session = new SqliteSession(database, this.#path, signal);
    const { journal_mode: mode } = await this.session.one<{ journal_mode: string }>("PRAGMA journal_mode");
    const overlaid = mode === "wal" && !this.#unlocked;
    if (overlaid) await this.#beginAtMark();
    else await this.session.beginSnapshot();
    this.#pageSize = (await this.session.one<{ page_size: number }>("PRAGMA page_size")).page_size;
    const { page_count: pages } = await this.session.one<{ page_count: number }>("PRAGMA page_count");
    this.size = pages * this.#pageSize;
    if (overlaid) await this.#readWal();
  }

  async *content(): Bytes {
    for (let offset = 0; offset < this.size; offset += BLOCK) {
      this.#options.signal.throwIfAborted();
      const length = Math.min(BLOCK, this.size - offset);
      let block = await this.#read(offset, length);
      if (this.#wal && !this.#wal.overlay(block, offset)) {
        await this.#mustBeAllInFile();
        block = await this.#read(offset, length);
      }
      // Version 1 (no -wal), so that the copy can be opened by itself, also read-only.
      if (offset === 0) block.fill(1, 18, 20);
      yield block;
    }
    if (!this.#unlocked || (await this.#state()) === this.#seen) return;
    throw new MigrationError("source-changed", `${this.#path} changed while it was read`, {
      hint: "another process has started to use it: stop that process, then run the same command again",
    });
  }

  async close(): Promise<void> {
    await this.#session?.close();
    for (const handle of this.#handles.splice(0)) await handle.close();
  }

  /** The mark belongs to the transaction if it was the same before and after the transaction began. */
  async #beginAtMark(): Promise<void> {
    this.#shm = await this.#open("-shm");
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      this.#options.signal.throwIfAborted();
      const before = await readWalPosition(this.#shm);
      await this.session.beginSnapshot();
      const after = await readWalPosition(this.#shm);
      if (before && before.text === after?.text) {
        this.#mark = before;
        return;
      }
      await this.session.all("ROLLBACK");
    }
    throw databaseError(this.#path, "it is being written to continuously");
  }

  async #readWal(): Promise<void> {
    const mark = this.#mark!;
    if (mark.frames === 0) return;
    this.#wal = await WalPages.read(await this.#open("-wal"), mark, this.#pageSize);
    if (!this.#wal) await this.#mustBeAllInFile();
  }

  /**
   * SQLite restarts a -wal only when all of it was checkpointed and no reader needs it. Then this transaction reads
   * only the file, and no newer page is checkpointed (wal.c, WAL_READ_LOCK(0)). Throws when the -wal was not restarted.
   */
  async #mustBeAllInFile(): Promise<void> {
    this.#wal = undefined;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const now = await readWalPosition(this.#shm!);
      if (now === undefined) continue;
      if (!now.salts.equals(this.#mark!.salts)) return;
      break;
    }
    throw databaseError(this.#path, `its -wal file does not match its -shm file`);
  }

  async #open(suffix: string): Promise<fs.FileHandle> {
    const handle = await fs.open(`${this.#path}${suffix}`, "r");
    this.#handles.push(handle);
    return handle;
  }

  /** Bytes beyond the end of the file are zeros, as in SQLite. */
  async #read(offset: number, length: number): Promise<Buffer> {
    const block = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#file!.read(block, done, length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return block.fill(0, done);
  }

  async #state(): Promise<string> {
    const { files } = this.#options;
    const { size, mtimeMs } = (await files.lstat(this.#path)) ?? {};
    const beside = await Promise.all(
      ["-wal", "-journal"].map((suffix) => files.lstat(`${this.#path}${suffix}`)),
    );
    return [size, mtimeMs, ...beside.map((entry) => entry?.size)].join(" ");
  }
}
