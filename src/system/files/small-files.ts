import { hash } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from "node:fs";
import { isMainThread, parentPort, type Worker, workerData } from "node:worker_threads";
import { startThread } from "../single-executable.ts";
import { errnoOf } from "./file-errors.ts";

/** Bytes of the largest file that is read in one piece. Larger ones are streamed. */
export const SMALL_FILE = 256 * 1024;

/** Bytes of all files that are asked for at once, at most; what does not fit is not read. */
export const SMALL_FILES = 1024 * 1024;

/**
 * "read": as it was found, and it was still so after the last byte. "gone": there is none, or no regular file any more.
 * "other": it has to be streamed, as it is large, was written to or replaced while it was read, or could not be read.
 */
const OUTCOMES = ["read", "gone", "other"] as const;

/** A file that was to be read in one piece. */
export interface SmallFile {
  readonly outcome: (typeof OUTCOMES)[number];
  /** Bytes; this and what follows is 0 or empty for what was not read. */
  readonly size: number;
  /** The nine permission bits. */
  readonly mode: number;
  /** Milliseconds since 1970. */
  readonly mtimeMs: number;
  /** Valid until `release` of its batch. */
  readonly content: Uint8Array;
  /** SHA-256 of the content in lower-case hex. */
  readonly sha256: string;
}

/** Files that were asked for together, in that order. */
export interface SmallFileBatch {
  readonly files: readonly SmallFile[];
  /** The contents are not needed any more: their memory is used again. To be called once. */
  release(): void;
}

/** Reads many small files. */
export interface SmallFileReader {
  /** Paths are below the reader's folder. Several calls may be under way; they are answered in turn. */
  read(names: readonly string[]): Promise<SmallFileBatch>;
  /** Not awaited, because a hung disk would block it. */
  close(): void;
}

/**
 * Reads in a thread of its own, with blocking calls: opening, looking at, reading and closing a file through the event loop
 * costs more than ten times as much. The thread hashes too, so that the reader need not. It starts with the first call.
 */
export function smallFileReader(folder: string): SmallFileReader {
  return new ThreadedReader(folder);
}

const TASK = "read small files";

interface WorkerOrder {
  readonly task: typeof TASK;
  readonly folder: string;
}

/** To the thread. The buffer goes there and comes back. */
interface Request {
  /** Separated by NUL, which no file name can contain. */
  readonly names: string;
  readonly buffer: ArrayBuffer;
}

interface Response {
  readonly buffer: ArrayBuffer;
  /** Four for each file: outcome, size, mode, time. */
  readonly numbers: Float64Array;
  /** SHA-256 of each file that was read, in hex, one after another. */
  readonly hashes: string;
}

const NUMBERS = 4;

/** Hex digits of a SHA-256. */
const HASH = 64;

class ThreadedReader implements SmallFileReader {
  readonly #folder: string;
  #worker: Worker | undefined;
  readonly #waiting: { resolve: (batch: SmallFileBatch) => void; reject: (error: unknown) => void }[] = [];
  readonly #free: ArrayBuffer[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async read(names: readonly string[]): Promise<SmallFileBatch> {
    if (this.#failure) throw this.#failure.error;
    this.#worker ??= this.#start();
    const buffer = this.#free.pop() ?? new ArrayBuffer(SMALL_FILES);
    const request: Request = { names: names.join("\0"), buffer };
    this.#worker.postMessage(request, [buffer]);
    return await new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close(): void {
    this.#worker?.unref();
    void this.#worker?.terminate();
    this.#fail(new Error("the reader of small files was closed"));
  }

  #start(): Worker {
    const order: WorkerOrder = { task: TASK, folder: this.#folder };
    const worker = startThread(import.meta.url, {
      workerData: order,
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    worker.on("message", (response: Response) => {
      this.#waiting.shift()?.resolve(this.#unpack(response));
    });
    worker.on("error", (error) => {
      this.#fail(error);
    });
    worker.on("exit", () => {
      this.#fail(new Error("the thread that reads small files ended too soon"));
    });
    return worker;
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #unpack({ buffer, numbers, hashes }: Response): SmallFileBatch {
    const files: SmallFile[] = [];
    let offset = 0;
    let hashed = 0;
    for (let at = 0; at < numbers.length; at += NUMBERS) {
      const outcome = OUTCOMES[numbers[at]!]!;
      const size = numbers[at + 1]!;
      const isRead = outcome === "read";
      files.push({
        outcome,
        size,
        mode: numbers[at + 2]!,
        mtimeMs: numbers[at + 3]!,
        content: new Uint8Array(buffer, offset, size),
        sha256: isRead ? hashes.slice(hashed, hashed + HASH) : "",
      });
      offset += size;
      if (isRead) hashed += HASH;
    }
    return {
      files,
      release: () => {
        this.#free.push(buffer);
      },
    };
  }
}

/** What runs in the thread. */
class BlockingReader {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  answer({ names, buffer }: Request): Response {
    const numbers: number[] = [];
    let hashes = "";
    let used = 0;
    for (const name of names === "" ? [] : names.split("\0")) {
      const room = new Uint8Array(buffer, used);
      const found = readWhole(`${this.#folder}/${name}`, room);
      if (typeof found === "string") {
        numbers.push(OUTCOMES.indexOf(found), 0, 0, 0);
        continue;
      }
      const { size, mode, mtimeMs } = found;
      hashes += hash("sha256", room.subarray(0, size), "hex");
      numbers.push(OUTCOMES.indexOf("read"), size, mode & 0o777, mtimeMs);
      used += size;
    }
    return { buffer, numbers: Float64Array.from(numbers), hashes };
  }
}

/** Reads up to `size` bytes of an open file to the beginning of `room`, and returns how many there were. */
type Read = (descriptor: number, room: Uint8Array, size: number) => number;

/** What the file was before and after all of its bytes were read; handed in for tests is what reads them. */
export function readWhole(path: string, room: Uint8Array, read: Read = readAll): Stats | "gone" | "other" {
  let descriptor: number | undefined;
  try {
    // A link is not followed, and a pipe not waited for: neither is packed.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const found = fstatSync(descriptor);
    if (!found.isFile()) return "gone";
    if (found.size > SMALL_FILE || found.size > room.length) return "other";
    const isWhole = read(descriptor, room, found.size) === found.size;
    return isWhole && !hasChanged(path, found) ? found : "other";
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    return GONE.has(code) ? "gone" : "other";
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** open(2): ELOOP is a link, with O_NOFOLLOW; ENXIO a socket. */
const GONE = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"]);

function readAll(descriptor: number, room: Uint8Array, size: number): number {
  let length = 0;
  while (length < size) {
    const read = readSync(descriptor, room, length, size - length, null);
    if (read === 0) break;
    length += read;
  }
  return length;
}

/**
 * By its name: one that was replaced by another file has changed too, also when that one has the same size and time, as copies
 * and restored files have. The time of the last change of its inode tells those that were written to and given their old
 * time again. Times cannot tell two writes within a few milliseconds apart: whoever reads while somebody writes must leave
 * the newest files for later. One that is gone by now was read whole.
 */
function hasChanged(path: string, before: Stats): boolean {
  try {
    const now = lstatSync(path);
    return !now.isFile() || SAME.some((field) => now[field] !== before[field]);
  } catch (error) {
    if (GONE.has(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

const SAME = ["ino", "size", "mtimeMs", "ctimeMs"] as const;

function serve({ folder }: WorkerOrder, port: NonNullable<typeof parentPort>): void {
  const reader = new BlockingReader(folder);
  port.on("message", (request: Request) => {
    const response = reader.answer(request);
    port.postMessage(response, [response.buffer, response.numbers.buffer as ArrayBuffer]);
  });
}

const order = workerData as Partial<WorkerOrder> | null;
if (!isMainThread && parentPort && order?.task === TASK) serve(order as WorkerOrder, parentPort);
