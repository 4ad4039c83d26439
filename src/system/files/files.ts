import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import type { Stats } from "node:fs";
import * as fs from "node:fs/promises";
import { promisify } from "node:util";
import type { Bytes } from "../bytes.ts";
import { giveBack, lend } from "../memory.ts";
import { readLine } from "./descriptor.ts";
import { attempt, codeOf, foreseen } from "./file-faults.ts";
import { beginFile, type BeginOptions, syncFolder, type Unfinished } from "./unfinished.ts";
import { type Walked, walkFolder, type WalkOptions } from "./walk.ts";
import { readWholeFile } from "./whole-file.ts";

export { UNFINISHED_SUFFIX, type Unfinished } from "./unfinished.ts";
export { type Walked } from "./walk.ts";

/** The file system. Failures a person can do something about come as `MigrationError`s that name the path. */
export interface Files {
  /** What lies at a path, not following a symbolic link at its end; undefined when nothing does. */
  look(path: string): Promise<Entry | undefined>;
  /** As `look`, but following symbolic links. */
  follow(path: string): Promise<Entry | undefined>;
  /**
   * Throws `file-missing` when it is not there. `from` and `to` are offsets in bytes; `to` is not read itself. With
   * `reuse` what was given is gone when the next is asked for: for those who need each chunk only once.
   */
  read(path: string, range?: ReadRange): Bytes;
  /**
   * The whole of a small file, or of what comes through a named pipe. Throws `file-missing`, or `file-failed` when it is
   * longer than `limit` bytes (16 MiB), or nobody writes into the pipe.
   */
  readWhole(path: string, limit?: number): Promise<Uint8Array>;
  readText(path: string): Promise<string>;
  /** See `readLine`: what an inherited descriptor says, up to the end of its first line. */
  readDescriptor(descriptor: number, signal: AbortSignal): Promise<string>;
  /** Names in a folder, sorted by code unit; throws `file-missing` when there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** All that lies below a folder, in batches, sorted folder by folder; for millions of files. See `walkFolder`. */
  walk(folder: string, signal?: AbortSignal, options?: WalkOptions): AsyncIterable<readonly Walked[]>;
  /** Written whole or not at all: beside it, synced, renamed, folder synced. Replaces what was there, keeping no link. */
  writeWhole(path: string, content: string | Uint8Array, mode?: number): Promise<void>;
  /** Begins a file that gets its name only when `finish` is called. Whoever began it calls `finish` or `abandon`. */
  begin(path: string, mode?: number, options?: BeginOptions): Promise<Unfinished>;
  /** Makes everything written to the file system of this path last. */
  syncAll(path: string): Promise<void>;
  /** Creates a file that must not exist yet; false when it does. For locks. */
  createNew(path: string, content: string): Promise<boolean>;
  /** A folder and its parents, private (0700) where made now. Answers the first that had to be made; undefined when none had. */
  makeFolder(path: string, mode?: number): Promise<string | undefined>;
  rename(from: string, to: string): Promise<void>;
  /** Nothing happens when it is not there. */
  remove(path: string): Promise<void>;
  /** Throws `file-failed` when something lies in it. */
  removeEmptyFolder(path: string): Promise<void>;
  setMode(path: string, mode: number): Promise<void>;
  setOwner(path: string, uid: number, gid: number): Promise<void>;
  setTimes(path: string, mtimeMs: number): Promise<void>;
  syncFolder(path: string): Promise<void>;
  /** Bytes that we may still write where this path lies, and what keeps them. */
  space(path: string): Promise<{ free: number; total: number; kind: FileSystemKind }>;
  real(path: string): Promise<string>;
}

export interface ReadRange {
  readonly from?: number;
  readonly to?: number;
  readonly reuse?: boolean;
}

/** Bytes that are read at once, the first time and later: most files are small, and memory is handed out for each. */
const FIRST_READ = 64 * 1024;
const READ = 1024 * 1024;

/** "memory" is gone after a reboot and takes the programs' memory; "network" is another host's disk. */
export type FileSystemKind = "disk" | "memory" | "network";

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

export const realFiles: Files = {
  look: (path) => entryOf(path, () => fs.lstat(path)),
  follow: (path) => entryOf(path, () => fs.stat(path)),

  async *read(path, { from, to, reuse = false } = {}) {
    if (to !== undefined && to <= (from ?? 0)) return;
    const file = await attempt("read", path, () => fs.open(path, "r"));
    let buffer: Buffer | undefined;
    let size = FIRST_READ;
    try {
      // What is no file on a disk, such as a pipe, knows no places: it is read on from where it stands.
      const placed = from !== undefined;
      for (let at = from ?? 0; to === undefined || at < to;) {
        const into = (buffer ??= lend(size));
        const most = Math.min(size, (to ?? Infinity) - at);
        const { bytesRead } = await attempt("read", path, () => file.read(into, 0, most, placed ? at : null));
        if (bytesRead === 0) {
          giveBack(into);
          return;
        }
        yield into.subarray(0, bytesRead);
        at += bytesRead;
        if (reuse && size === READ) continue;
        if (reuse) giveBack(into);
        size = bytesRead < most ? FIRST_READ : READ;
        buffer = undefined;
      }
    } finally {
      if (buffer && reuse) giveBack(buffer);
      await file.close();
    }
  },

  readWhole: (path, limit = 16 * 1024 * 1024) => attempt("read", path, () => readWholeFile(path, limit)),

  async readText(path) {
    return new TextDecoder().decode(await realFiles.readWhole(path));
  },

  readDescriptor: readLine,

  async list(folder) {
    const names = await attempt("list", folder, () => fs.readdir(folder));
    return names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  },

  walk: walkFolder,

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

  makeFolder: (path, mode = 0o700) =>
    attempt("create", path, () => fs.mkdir(path, { recursive: true, mode })),

  rename: (from, to) => attempt("rename", from, () => fs.rename(from, to)),
  remove: (path) => attempt("remove", path, () => fs.rm(path, { force: true })),
  removeEmptyFolder: (path) => attempt("remove", path, () => fs.rmdir(path)),
  setMode: (path, mode) => attempt("set the mode of", path, () => fs.chmod(path, mode)),
  setOwner: (path, uid, gid) => attempt("set the owner of", path, () => fs.lchown(path, uid, gid)),
  setTimes: (path, mtimeMs) =>
    attempt("set the time of", path, () => fs.utimes(path, mtimeMs / 1000, mtimeMs / 1000)),
  syncFolder,

  async space(path) {
    const { bavail, blocks, bsize, type } = await attempt("look at", path, () => fs.statfs(path));
    const kind = MEMORY.has(type) ? "memory" : NETWORK.has(type) ? "network" : "disk";
    return { free: bavail * bsize, total: blocks * bsize, kind };
  },

  real: (path) => attempt("resolve", path, () => fs.realpath(path)),
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
    const { size, mtimeMs, uid, gid } = found;
    return { kind, size, mode: found.mode & 0o777, mtimeMs, uid, gid };
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw foreseen(error, "look at", path);
  }
}
