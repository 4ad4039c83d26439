import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { createGunzip } from "node:zlib";
import { adoptBuffer, releaseBuffer } from "../buffers.ts";
import { startThread } from "../single-executable.ts";
import { DumpArchive } from "./dump-archive.ts";
import { StoredGzip } from "./stored-gzip.ts";

/** What is needed to verify that the content of a gzip file is complete. */
export interface GzipDigest {
  /** Size of the content in bytes. */
  readonly size: number;
  /** Of the content, in lower-case hex. */
  readonly sha256: string;
  /** The last bytes of the content, at most as many as requested. */
  readonly tail: Uint8Array;
  /** RFC 1952, 2.3.1: the last 8 bytes of the file, CRC-32 and size of its last member. Meaningless with "none". */
  readonly end: Uint8Array;
  /** With `dumpArchive`: why the content is not a complete archive; undefined when it is. */
  readonly defect?: string | undefined;
}

/** The result of the worker thread: a digest, or the damage and whether it was found at the end of the file. */
export type GzipResult =
  | { readonly digest: GzipDigest }
  | { readonly damage: { readonly code: string; readonly message: string }; readonly atEnd: boolean };

interface WorkerOrder {
  readonly task: typeof TASK;
  readonly descriptor: number;
  readonly tail: number;
  readonly packing: GzipKind;
  readonly dumpArchive: boolean;
}

const TASK = "digest a gzip file";

/** Bytes that are decompressed in one step. */
const STEP = 128 * 1024;

export interface GzipOptions {
  /** How many of the last bytes of the content to return. */
  readonly tail: number;
  readonly packing: GzipKind;
  /** Whether the content is verified as a `DumpArchive`. */
  readonly dumpArchive?: boolean;
}

/** "stored": gzip without compression, see `StoredGzip`. "none": the data is already decompressed. */
type GzipKind = "deflated" | "stored" | "none";

/**
 * Reads a gzip file from a descriptor in a worker thread, with blocking reads. The caller owns the descriptor, which
 * must stay open until this has resolved. Rejects only when the thread itself fails.
 */
export function digestGzip(
  descriptor: number,
  { tail, packing, dumpArchive = false }: GzipOptions,
): Promise<GzipResult> {
  const workerData: WorkerOrder = { task: TASK, descriptor, tail, packing, dumpArchive };
  const worker = startThread(import.meta.url, {
    workerData,
    resourceLimits: { maxYoungGenerationSizeMb: 2 },
  });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", () => {
      reject(new Error("the worker thread that reads a gzip file ended unexpectedly"));
    });
  });
}

async function look({ descriptor, tail, packing, dumpArchive }: WorkerOrder): Promise<GzipResult> {
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
    return { digest: archive ? { ...digest, defect: archive.findDefect() } : digest };
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (!code.startsWith("Z_")) throw error;
    return { damage: { code, message }, atEnd };
  }
}

/** The bytes of `next` are overwritten by the next call, so it is called only after they were used. */
function inflate(next: () => Uint8Array, take: (content: Uint8Array) => void): Promise<void> {
  const gunzip = createGunzip({ chunkSize: 2 * STEP });
  gunzip.on("data", (chunk: Uint8Array) => {
    take(chunk);
    // zlib has filled this buffer and will use another one, so no other chunk shares it any more.
    if (chunk.byteOffset + chunk.length === chunk.buffer.byteLength) releaseBuffer(adoptBuffer(chunk));
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

/** Fills the buffer; returns fewer bytes than its size only at the end of the file. */
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
    // Copied, because the buffer is reused.
    this.bytes = Uint8Array.from(all.subarray(-this.#most));
  }
}

const order = workerData as Partial<WorkerOrder> | null;
if (!isMainThread && parentPort && order?.task === TASK) {
  const port = parentPort;
  void look(order as WorkerOrder).then((looked) => {
    port.postMessage(looked);
  });
}
