import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import type { Stats } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { allocateBuffer, releaseBuffer } from "../buffers.ts";
import type { Bytes } from "../bytes.ts";
import { readLine } from "./descriptor.ts";
import { errnoOf, toFileError, withFileErrors, withoutCoreutils } from "./file-errors.ts";
import { type GrowingFile, growFile } from "./growing.ts";
import { type SmallFileReader, smallFileReader } from "./small-files.ts";
import { beginFile, type BeginOptions, syncFolder, type Unfinished } from "./unfinished.ts";
import { type WalkEntry, walkFolder, type WalkOptions } from "./walk.ts";
import { readWholeFile } from "./whole-file.ts";

export { type GrowingFile } from "./growing.ts";
export {
  SMALL_FILE,
  SMALL_FILES,
  type SmallFile,
  type SmallFileBatch,
  type SmallFileReader,
} from "./small-files.ts";
export { UNFINISHED_SUFFIX, type Unfinished } from "./unfinished.ts";
export { type WalkEntry } from "./walk.ts";

/** The file system. Errors that a user can act on are thrown as a `MigrationError` that names the path. */
export interface Files {
  /** The entry at a path, without following a symbolic link; undefined when there is none. */
  lstat(path: string): Promise<Entry | undefined>;
  /** As `look`, but following symbolic links. */
  stat(path: string): Promise<Entry | undefined>;
  /**
   * Reads a file. Throws `file-missing`. `from` and `to` are offsets in bytes; `to` is exclusive. With `reuse` each
   * chunk is valid only until the next one is requested.
   */
  read(path: string, range?: ReadRange): Bytes;
  /**
   * The content of a small file or of a named pipe. Throws `file-missing`, or `file-failed` when it is longer than
   * `limit` bytes (16 MiB by default), or nothing is written to the pipe.
   */
  readWhole(path: string, limit?: number): Promise<Uint8Array>;
  readText(path: string): Promise<string>;
  /** The first line of an inherited file descriptor: see `readLine`. */
  readDescriptor(descriptor: number, signal: AbortSignal): Promise<string>;
  /** Names in a folder, sorted by code unit; throws `file-missing` when there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** All entries below a folder, in batches, sorted folder by folder; for millions of files. See `walkFolder`. */
  walk(folder: string, signal?: AbortSignal, options?: WalkOptions): AsyncIterable<readonly WalkEntry[]>;
  /** Reads many small files below a folder, each in one piece; see `smallFileReader`. The caller must call `close`. */
  smallFiles(folder: string): SmallFileReader;
  /** Writes a file atomically: to a temporary file, synced, renamed, folder synced. Replaces a symbolic link, too. */
  writeAtomically(path: string, content: string | Uint8Array, mode?: number): Promise<void>;
  /** Begins a file that gets its name only when `finish` is called. The caller must call `finish` or `abandon`. */
  begin(path: string, mode?: number, options?: BeginOptions): Promise<Unfinished>;
  /** Continues a file at an offset, for transfers that are interrupted; see `growFile`. */
  grow(path: string, from: number): Promise<GrowingFile>;
  /** Syncs the file system of this path. */
  syncAll(path: string): Promise<void>;
  /** Creates a file that must not exist yet; false when it does. For locks. */
  createNew(path: string, content: string): Promise<boolean>;
  /** Creates a folder and its parents, by default with mode 0700. Returns the first one created, or undefined. */
  makeFolder(path: string, mode?: number): Promise<string | undefined>;
  rename(from: string, to: string): Promise<void>;
  /** Does nothing when it does not exist. */
  remove(path: string): Promise<void>;
  /** Throws `file-failed` when it is not empty. */
  removeEmptyFolder(path: string): Promise<void>;
  setMode(path: string, mode: number): Promise<void>;
  setOwner(path: string, uid: number, gid: number): Promise<void>;
  setTimes(path: string, mtimeMs: number): Promise<void>;
  syncFolder(path: string): Promise<void>;
  /** The free and total bytes of the file system of this path, and its kind. */
  diskSpace(path: string): Promise<{ free: number; total: number; kind: FileSystemKind }>;
  real(path: string): Promise<string>;
}

interface ReadRange {
  readonly from?: number;
  readonly to?: number;
  readonly reuse?: boolean;
}

/** Bytes of the first read and of later reads: most files are small, and a buffer is allocated for each. */
const FIRST_READ = 64 * 1024;
const READ = 1024 * 1024;

/** "memory" is lost at reboot and uses RAM; "network" is on another host. */
type FileSystemKind = "disk" | "memory" | "network";

export interface Entry {
  readonly kind: "file" | "folder" | "link" | "other";
  readonly size: number;
  /** The nine permission bits. */
  readonly mode: number;
  /** Milliseconds since 1970. */
  readonly mtimeMs: number;
  readonly uid: number;
  readonly gid: number;
  /** When content, owner, mode or name last changed, by the kernel: nobody sets it. Milliseconds since 1970; left out when it is unknown. */
  readonly changedMs?: number;
  /** The file system that it is on: the same number means the same one. Left out when it is unknown. */
  readonly device?: number;
}

export const realFiles: Files = {
  lstat: (path) => entryOf(path, () => fs.lstat(path)),
  stat: (path) => entryOf(path, () => fs.stat(path)),

  async *read(path, { from, to, reuse = false } = {}) {
    if (to !== undefined && to <= (from ?? 0)) return;
    const file = await withFileErrors("read", path, () => fs.open(path, "r"));
    let buffer: Buffer | undefined;
    let size = FIRST_READ;
    try {
      // A pipe cannot be read at an offset, so without `from` the current position is used.
      const placed = from !== undefined;
      for (let at = from ?? 0; to === undefined || at < to;) {
        const into = (buffer ??= allocateBuffer(size));
        const most = Math.min(size, (to ?? Infinity) - at);
        const { bytesRead } = await withFileErrors("read", path, () =>
          file.read(into, 0, most, placed ? at : null),
        );
        if (bytesRead === 0) {
          releaseBuffer(into);
          return;
        }
        yield into.subarray(0, bytesRead);
        at += bytesRead;
        if (reuse && size === READ) continue;
        if (reuse) releaseBuffer(into);
        size = bytesRead < most ? FIRST_READ : READ;
        buffer = undefined;
      }
    } finally {
      if (buffer && reuse) releaseBuffer(buffer);
      await file.close();
    }
  },

  readWhole: (path, limit = 16 * 1024 * 1024) =>
    withFileErrors("read", path, () => readWholeFile(path, limit)),

  async readText(path) {
    return new TextDecoder().decode(await realFiles.readWhole(path));
  },

  readDescriptor: readLine,

  async list(folder) {
    const names = await withFileErrors("list", folder, () => fs.readdir(folder));
    return names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  },

  walk: walkFolder,
  smallFiles: smallFileReader,

  async writeAtomically(path, content, mode = 0o600) {
    const file = await realFiles.begin(path, mode);
    try {
      await file.write(typeof content === "string" ? new TextEncoder().encode(content) : content);
      await file.finish();
    } finally {
      await file.abandon();
    }
  },

  begin: (path, mode = 0o600, { sync = true } = {}) => beginFile(path, mode, sync),

  grow: growFile,

  async syncAll(path) {
    await withFileErrors("sync", path, () =>
      promisify(execFile)("sync", ["-f", path]).catch((error: unknown) => {
        throw withoutCoreutils(error);
      }),
    );
  },

  async createNew(path, content) {
    // The file is linked into place with its content, so it is never visible empty.
    const beside = `${path}.${randomUUID()}`;
    try {
      await fs.writeFile(beside, content, { flag: "wx", mode: 0o600 });
      await fs.link(beside, path);
      return true;
    } catch (error) {
      if (errnoOf(error) === "EEXIST") return false;
      throw toFileError(error, "create", path);
    } finally {
      await fs.rm(beside, { force: true });
    }
  },

  makeFolder: (path, mode = 0o700) =>
    withFileErrors("create", path, async () => {
      const first = await fs.mkdir(path, { recursive: true, mode });
      // The umask of this program takes rights away: those that were asked for are given.
      for (let made = path; first !== undefined; made = dirname(made)) {
        await fs.chmod(made, mode);
        if (made === first || made === dirname(made)) break;
      }
      return first;
    }),

  rename: (from, to) => withFileErrors("rename", from, () => fs.rename(from, to)),
  remove: (path) => withFileErrors("remove", path, () => fs.rm(path, { force: true })),
  removeEmptyFolder: (path) => withFileErrors("remove", path, () => fs.rmdir(path)),
  setMode: (path, mode) => withFileErrors("set the mode of", path, () => fs.chmod(path, mode)),
  setOwner: (path, uid, gid) => withFileErrors("set the owner of", path, () => fs.lchown(path, uid, gid)),
  setTimes: (path, mtimeMs) =>
    withFileErrors("set the time of", path, () => fs.utimes(path, mtimeMs / 1000, mtimeMs / 1000)),
  syncFolder,

  async diskSpace(path) {
    const { bavail, blocks, bsize, type } = await withFileErrors("look at", path, () => fs.statfs(path));
    const kind = MEMORY.has(type) ? "memory" : NETWORK.has(type) ? "network" : "disk";
    return { free: bavail * bsize, total: blocks * bsize, kind };
  },

  real: (path) => withFileErrors("resolve", path, () => fs.realpath(path)),
};

/** statfs(2): tmpfs and ramfs; NFS, SMB in its two forms, Ceph, 9p. */
const MEMORY = new Set([0x01021994, 0x858458f6]);
const NETWORK = new Set([0x6969, 0xff534d42, 0xfe534d42, 0x517b, 0x00c36400, 0x01021997]);

async function entryOf(path: string, ask: () => Promise<Stats>): Promise<Entry | undefined> {
  try {
    const found = await ask();
    const kind = found.isFile()
      ? "file"
      : found.isDirectory()
        ? "folder"
        : found.isSymbolicLink()
          ? "link"
          : "other";
    const { size, mtimeMs, uid, gid, ctimeMs: changedMs, dev: device } = found;
    return { kind, size, mode: found.mode & 0o777, mtimeMs, uid, gid, changedMs, device };
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw toFileError(error, "look at", path);
  }
}
