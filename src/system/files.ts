import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import * as fs from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { MigrationError } from "../errors.ts";
import type { Bytes } from "./system.ts";

/** The file system. Failures a person can do something about come as `MigrationError`s that name the path. */
export interface Files {
  /** What lies at a path, not following a symbolic link at its end; undefined when nothing does. */
  look(path: string): Promise<Entry | undefined>;
  /** As `look`, but following symbolic links. */
  follow(path: string): Promise<Entry | undefined>;
  /** Throws `file-missing` when it is not there. `from` and `to` are offsets in bytes; `to` is not read itself. */
  read(path: string, range?: { from?: number; to?: number }): Bytes;
  /** The whole of a small file. Throws `file-missing`, or `file-failed` when it is longer than `limit` bytes (16 MiB). */
  readWhole(path: string, limit?: number): Promise<Uint8Array>;
  readText(path: string): Promise<string>;
  /** Names in a folder, sorted by code unit; throws `file-missing` when there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** Written whole or not at all: beside it, synced, renamed, folder synced. Replaces what was there, keeping no link. */
  writeWhole(path: string, content: string | Uint8Array, mode?: number): Promise<void>;
  /** Begins a file that gets its name only when `finish` is called. Whoever began it calls `finish` or `abandon`. */
  begin(path: string, mode?: number, options?: BeginOptions): Promise<Unfinished>;
  /** Makes everything written to the file system of this path last. */
  syncAll(path: string): Promise<void>;
  /** Creates a file that must not exist yet; false when it does. For locks. */
  createNew(path: string, content: string): Promise<boolean>;
  /** A folder and its parents, private (0700) where made now. */
  makeFolder(path: string, mode?: number): Promise<void>;
  /** A new private folder below `parent`, with a name of its own. */
  makeTemporary(parent: string, prefix: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  /** Nothing happens when it is not there. */
  remove(path: string): Promise<void>;
  removeTree(path: string): Promise<void>;
  setMode(path: string, mode: number): Promise<void>;
  setOwner(path: string, uid: number, gid: number): Promise<void>;
  setTimes(path: string, mtimeMs: number): Promise<void>;
  syncFolder(path: string): Promise<void>;
  /** Bytes that we may still write where this path lies. */
  space(path: string): Promise<{ free: number; total: number }>;
  real(path: string): Promise<string>;
}

export interface Entry {
  readonly kind: "file" | "folder" | "link" | "other";
  readonly size: number;
  /** The nine permission bits. */
  readonly mode: number;
  /** Milliseconds since 1970. */
  readonly mtimeMs: number;
  readonly uid: number;
  readonly gid: number;
}

export interface BeginOptions {
  /** False: `finish` does not wait for the disk. For many small files, followed by one `syncAll`. */
  readonly sync?: boolean;
}

/** A file that nobody can take for a finished one: it has a temporary name beside its later one. */
export interface Unfinished {
  write(chunk: Uint8Array): Promise<void>;
  /** Bytes written so far. */
  readonly size: number;
  /** Checks the byte count, syncs, renames, syncs the folder. */
  finish(): Promise<void>;
  /** Removes it. May be called after a failure, twice, and after `finish`, where it does nothing. */
  abandon(): Promise<void>;
}

/** How temporary names end, so that what a killed run left can be found and removed. */
export const UNFINISHED_SUFFIX = ".unfinished";

export const realFiles: Files = {
  look: (path) => entryOf(path, () => fs.lstat(path)),
  follow: (path) => entryOf(path, () => fs.stat(path)),

  async *read(path, { from, to } = {}) {
    if (to !== undefined && to <= (from ?? 0)) return;
    const range = {
      ...(from === undefined ? {} : { start: from }),
      ...(to === undefined ? {} : { end: to - 1 }),
    };
    const stream = createReadStream(path, { highWaterMark: 1024 * 1024, ...range });
    try {
      for await (const chunk of stream) yield chunk as Uint8Array;
    } catch (error) {
      throw foreseen(error, "read", path);
    }
  },

  async readWhole(path, limit = 16 * 1024 * 1024) {
    try {
      const file = await fs.open(path, "r");
      try {
        const { size } = await file.stat();
        if (size > limit)
          throw new MigrationError(
            "file-failed",
            `${path} is too large to be what it should be: ${size} bytes`,
          );
        return await file.readFile();
      } finally {
        await file.close();
      }
    } catch (error) {
      throw foreseen(error, "read", path);
    }
  },

  async readText(path) {
    return new TextDecoder().decode(await realFiles.readWhole(path));
  },

  async list(folder) {
    const names = await attempt("list", folder, () => fs.readdir(folder));
    return names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  },

  async writeWhole(path, content, mode = 0o600) {
    const file = await realFiles.begin(path, mode);
    try {
      await file.write(typeof content === "string" ? new TextEncoder().encode(content) : content);
      await file.finish();
    } finally {
      await file.abandon();
    }
  },

  begin: (path, mode = 0o600, { sync = true } = {}) => beginFile(path, mode, sync),

  async syncAll(path) {
    await attempt("sync", path, () => promisify(execFile)("sync", ["-f", path]));
  },

  async createNew(path, content) {
    // Linked into place with its content: nobody ever sees it empty.
    const beside = `${path}.${randomUUID()}`;
    try {
      await fs.writeFile(beside, content, { flag: "wx", mode: 0o600 });
      await fs.link(beside, path);
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false;
      throw foreseen(error, "create", path);
    } finally {
      await fs.rm(beside, { force: true });
    }
  },

  async makeFolder(path, mode = 0o700) {
    await attempt("create", path, () => fs.mkdir(path, { recursive: true, mode }));
  },

  makeTemporary: (parent, prefix) =>
    attempt("create a folder in", parent, () => fs.mkdtemp(join(parent, prefix))),
  rename: (from, to) => attempt("rename", from, () => fs.rename(from, to)),
  remove: (path) => attempt("remove", path, () => fs.rm(path, { force: true })),
  removeTree: (path) => attempt("remove", path, () => fs.rm(path, { force: true, recursive: true })),
  setMode: (path, mode) => attempt("set the mode of", path, () => fs.chmod(path, mode)),
  setOwner: (path, uid, gid) => attempt("set the owner of", path, () => fs.lchown(path, uid, gid)),
  setTimes: (path, mtimeMs) =>
    attempt("set the time of", path, () => fs.utimes(path, mtimeMs / 1000, mtimeMs / 1000)),
  syncFolder,

  async space(path) {
    const { bavail, blocks, bsize } = await attempt("look at", path, () => fs.statfs(path));
    return { free: bavail * bsize, total: blocks * bsize };
  },

  real: (path) => attempt("resolve", path, () => fs.realpath(path)),
};

async function beginFile(path: string, mode: number, sync: boolean): Promise<Unfinished> {
  const temporary = join(dirname(path), `.${basename(path)}${UNFINISHED_SUFFIX}`);
  // Left by a run that was killed. Whoever writes here holds the lock, so it is nobody's.
  await attempt("remove", temporary, () => fs.rm(temporary, { force: true }));
  const file = await attempt("create", temporary, () => fs.open(temporary, "wx", mode));
  let size = 0;
  let open = true;
  let finished = false;
  const close = async () => {
    if (!open) return;
    open = false;
    await file.close();
  };

  return {
    get size() {
      return size;
    },
    async write(chunk) {
      for (let offset = 0; offset < chunk.length;) {
        const { bytesWritten } = await attempt("write", path, () => file.write(chunk, offset));
        offset += bytesWritten;
        size += bytesWritten;
      }
    },
    async finish() {
      await attempt("write", path, async () => {
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

async function syncFolder(path: string): Promise<void> {
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

async function entryOf(
  path: string,
  ask: () => Promise<import("node:fs").Stats>,
): Promise<Entry | undefined> {
  try {
    const found = await ask();
    const kind = found.isFile()
      ? "file"
      : found.isDirectory()
        ? "folder"
        : found.isSymbolicLink()
          ? "link"
          : "other";
    const { size, mtimeMs, uid, gid } = found;
    return { kind, size, mode: found.mode & 0o777, mtimeMs, uid, gid };
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw foreseen(error, "look at", path);
  }
}

async function attempt<T>(verb: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw foreseen(error, verb, path);
  }
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException | undefined)?.code;

function foreseen(error: unknown, verb: string, path: string): unknown {
  if (error instanceof MigrationError) return error;
  const more = { cause: error };
  switch (codeOf(error)) {
    case "ENOENT":
    case "ENOTDIR":
      return new MigrationError(
        "file-missing",
        `cannot ${verb} ${path}: there is no such file or folder`,
        more,
      );
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return new MigrationError("disk-full", `cannot ${verb} ${path}: no space left`, {
        hint: "free space there or choose another folder, then run the same command again: finished work is kept",
        ...more,
      });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new MigrationError("permission-denied", `cannot ${verb} ${path}: permission denied`, {
        hint: "run synlift as a user who may, often root",
        ...more,
      });
    case undefined:
      return error;
    default:
      return new MigrationError("file-failed", `cannot ${verb} ${path}: ${(error as Error).message}`, more);
  }
}
