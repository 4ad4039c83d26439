import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { createGunzip } from "node:zlib";
import { adopt, giveBack } from "../memory.ts";
import { DumpArchive } from "./dump-archive.ts";
import { StoredGzip } from "./stored-gzip.ts";

/** What a gzip file holds, as far as it is of interest to who wants to know whether it is whole. */
export interface GzipDigest {
  /** Bytes of what it holds. */
  readonly size: number;
  /** Of what it holds, in lower-case hex. */
  readonly sha256: string;
  /** The last bytes of what it holds, as many as were asked for or as there are. */
  readonly tail: Uint8Array;
  /** RFC 1952, 2.3.1: its own last 8 bytes, the CRC-32 and the size of what its last member holds. Of no use with "none". */
  readonly end: Uint8Array;
  /** Where `dumpArchive` was asked for: why what it holds is no whole one; undefined when it is. */
  readonly flaw?: string | undefined;
}

/** What a thread says of its file: a digest, or what is wrong with it and whether that is only that it is too short. */
export type Looked =
  | { readonly digest: GzipDigest }
  | { readonly damage: { readonly code: string; readonly message: string }; readonly atEnd: boolean };

interface Order {
  readonly task: typeof TASK;
  readonly descriptor: number;
  readonly tail: number;
  readonly packing: Packing;
  readonly dumpArchive: boolean;
}

const TASK = "digest a gzip file";

/** Bytes that are unpacked at once. */
const STEP = 128 * 1024;

export interface GzipOptions {
  /** How many of the last bytes of the content are wanted. */
  readonly tail: number;
  readonly packing: Packing;
  /** Whether it is to be looked at as a `DumpArchive`. */
  readonly dumpArchive?: boolean;
}

/** "stored": nothing in it is compressed, see `StoredGzip`. "none": it is no gzip file any more, it was unpacked before. */
export type Packing = "deflated" | "stored" | "none";

/**
 * Reads a gzip file from a descriptor in a thread of its own, which waits there for as long as it takes. The descriptor
 * stays the caller's; it must stay open until this has resolved. Rejects only when the thread itself fails.
 */
export function digestGzip(
  descriptor: number,
  { tail, packing, dumpArchive = false }: GzipOptions,
): Promise<Looked> {
  const workerData: Order = { task: TASK, descriptor, tail, packing, dumpArchive };
  const worker = new Worker(new URL(import.meta.url), {
    workerData,
    env: {},
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: 2 },
  });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", () => {
      reject(new Error("a thread that looks at a gzip file ended too soon"));
    });
  });
}

async function look({ descriptor, tail, packing, dumpArchive }: Order): Promise<Looked> {
  const hash = createHash("sha256");
  const lastOfContent = new LastBytes(tail);
  const lastOfFile = new LastBytes(8);
  const buffer = Buffer.allocUnsafeSlow(STEP);
  const archive = dumpArchive ? new DumpArchive() : undefined;
  let size = 0;
  let atEnd = false;
  const take = (content: Uint8Array) => {
    hash.update(content);
    archive?.add(content);
    size += content.length;
    lastOfContent.add(content);
  };
  const next = () => {
    const bytes = buffer.subarray(0, fill(descriptor, buffer));
    lastOfFile.add(bytes);
    atEnd = isLast(bytes);
    return bytes;
  };
  try {
    if (packing === "deflated") await inflate(next, take);
    else {
      const reader = packing === "stored" ? new StoredGzip(take) : { add: take, end: () => undefined };
      for (let bytes = next(); ; bytes = next()) {
        reader.add(bytes);
        if (isLast(bytes)) break;
      }
      reader.end();
    }
    const digest = { size, sha256: hash.digest("hex"), tail: lastOfContent.bytes, end: lastOfFile.bytes };
    return { digest: archive ? { ...digest, flaw: archive.flaw() } : digest };
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (!code.startsWith("Z_")) throw error;
    return { damage: { code, message }, atEnd };
  }
}

/** What `next` gives is overwritten by the next: it is only asked for when the last was used up. */
function inflate(next: () => Uint8Array, take: (content: Uint8Array) => void): Promise<void> {
  const gunzip = createGunzip({ chunkSize: 2 * STEP });
  gunzip.on("data", (chunk: Uint8Array) => {
    take(chunk);
    // zlib has filled this one to its end, and begins another: no other chunk of it is to come, or still looked at.
    if (chunk.byteOffset + chunk.length === chunk.buffer.byteLength) giveBack(adopt(chunk));
  });
  return new Promise((resolve, reject) => {
    gunzip.once("end", resolve).once("error", reject);
    const step = () => {
      const bytes = next();
      if (isLast(bytes)) gunzip.end(bytes);
      else
        gunzip.write(bytes, (error) => {
          if (!error) step();
        });
    };
    step();
  });
}

/** See `fill`. */
const isLast = (bytes: Uint8Array) => bytes.length < STEP;

/** As much as there is, up to the buffer's size: less means that there is no more. */
function fill(descriptor: number, buffer: Buffer): number {
  for (let filled = 0; ;) {
    const read = readSync(descriptor, buffer, filled, buffer.length - filled, null);
    filled += read;
    if (read === 0 || filled === buffer.length) return filled;
  }
}

class LastBytes {
  bytes: Uint8Array = new Uint8Array();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  add(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    const all = chunk.length >= this.#most ? chunk : Buffer.concat([this.bytes, chunk]);
    // Copied: a view would keep all of it, and what it lies in is used again.
    this.bytes = Uint8Array.from(all.subarray(-this.#most));
  }
}

const order = workerData as Partial<Order> | null;
if (!isMainThread && parentPort && order?.task === TASK) {
  const port = parentPort;
  void look(order as Order).then((looked) => {
    port.postMessage(looked);
  });
}
