import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import { MigrationError } from "../errors.ts";
import { allocateBuffer, releaseBuffer } from "../system/buffers.ts";
import { Handoff } from "./handoff.ts";
import { BLOCK, encodeHeader } from "./tar-header.ts";
import type { Bytes, ByteTransform } from "./transform.ts";

/** A regular file to be added to an archive. */
export interface TarEntry {
  /** Relative, with forward slashes. */
  readonly name: string;
  /** Bytes; `content` must yield exactly that many. */
  readonly size: number;
  readonly mode: number;
  /** Milliseconds since 1970; the archive keeps whole seconds. */
  readonly mtimeMs: number;
  content(): Bytes;
  /** All of the content at once, for what is in memory anyway; used instead of `content`, and copied at once. */
  readonly whole?: (() => Uint8Array) | undefined;
}

/** An entry of an archive. Read `content`, or skip it by requesting the next entry. */
export interface ExtractedEntry {
  readonly name: string;
  readonly kind: "file" | "folder" | "other";
  readonly size: number;
  readonly mode: number;
  readonly mtimeMs: number;
  readonly content: Bytes;
}

/** A tar archive (POSIX ustar; PAX where a name needs it). Throws `source-changed` when the content of a file does not have the announced size. */
export async function* packTar(entries: AsyncIterable<TarEntry> | Iterable<TarEntry>): Bytes {
  const out = new TarOutput();
  // While one chunk is used, the next is read.
  const feeding = pack(entries, out).then(
    () => {
      out.handoff.end();
    },
    (error: unknown) => {
      out.handoff.fail(error);
    },
  );
  try {
    yield* out.handoff.read();
  } finally {
    // When the reader stopped early, packing must stop too, and close the file that it reads.
    out.handoff.leave();
    await feeding;
  }
}

async function pack(entries: AsyncIterable<TarEntry> | Iterable<TarEntry>, out: TarOutput): Promise<void> {
  for await (const entry of entries) {
    const { name, size } = entry;
    if (!out.copy(encodeHeader(entry))) await out.flush();
    let written = 0;
    if (entry.whole) {
      const bytes = entry.whole();
      written = bytes.length;
      if (written === size && !out.copy(bytes)) await out.flush();
    } else {
      for await (const chunk of entry.content()) {
        written += chunk.length;
        if (written > size) break;
        await out.write(chunk);
      }
    }
    if (written !== size) {
      throw new MigrationError("source-changed", `${name} changed while it was read: it had ${size} bytes`, {
        hint: "run the same command again; completed work is kept",
      });
    }
    if (!out.copy(ZEROS.subarray(0, padding(size)))) await out.flush();
  }
  out.copy(ZEROS.subarray(0, 2 * BLOCK));
  await out.flush();
}

const ZEROS = Buffer.alloc(2 * BLOCK);

const padding = (size: number) => (BLOCK - (size % BLOCK)) % BLOCK;

/** Bytes that are passed on together. Longer chunks are passed on as they are. */
const GATHERED = 256 * 1024;
const PASSED_ON = 32 * 1024;

/** Gathers headers and small files into larger chunks: each chunk costs every later stage the same, whatever its length. */
class TarOutput {
  readonly handoff = new Handoff();
  #block: Buffer | undefined;
  #used = 0;
  /** What did not fit any more. */
  #rest: Uint8Array | undefined;

  /** Copies bytes; false when `flush` must be awaited before the next ones. */
  copy(bytes: Uint8Array): boolean {
    this.#block ??= allocateBuffer(GATHERED);
    const taken = bytes.length <= GATHERED - this.#used ? bytes : bytes.subarray(0, GATHERED - this.#used);
    this.#block.set(taken, this.#used);
    this.#used += taken.length;
    if (taken.length === bytes.length) return true;
    this.#rest = bytes.subarray(taken.length);
    return false;
  }

  /** Passes on what was gathered. */
  async flush(): Promise<void> {
    for (;;) {
      const rest = this.#rest;
      this.#rest = undefined;
      if (this.#block && this.#used > 0) await this.handoff.put(this.#block.subarray(0, this.#used));
      this.#block = undefined;
      this.#used = 0;
      if (rest === undefined || this.copy(rest)) return;
    }
  }

  /** A chunk of a stream, which belongs to this output from then on. */
  async write(chunk: Uint8Array): Promise<void> {
    if (chunk.length >= PASSED_ON) {
      await this.flush();
      await this.handoff.put(chunk);
      return;
    }
    const fits = this.copy(chunk);
    if (!fits) await this.flush();
    releaseBuffer(chunk);
  }
}

/** The size in bytes of an archive of files of these sizes, if each name has at most 100 ASCII characters. */
export const tarSize = (sizes: Iterable<number>): number => {
  let size = 2 * BLOCK;
  for (const each of sizes) size += BLOCK + Math.ceil(each / BLOCK) * BLOCK;
  return size;
};

/** Reverses `packTar`, and reads archives of other tar programs. Throws `bundle-damaged` when truncated or corrupt. */
export async function* unpackTar(source: Bytes): AsyncIterable<ExtractedEntry> {
  const extract = tar.extract();
  let sourceError: { error: unknown } | undefined;
  const watched = async function* (): Bytes {
    try {
      yield* checkTarEnd(source);
    } catch (error) {
      sourceError = { error };
      throw error;
    }
  };
  const feeding = pipeline(watched(), extract);
  feeding.catch(() => undefined);
  const reason = (error: unknown): unknown => {
    if (sourceError) return sourceError.error;
    if (error instanceof MigrationError) return error;
    return new MigrationError("bundle-damaged", `the archive is damaged: ${(error as Error).message}`, {
      cause: error,
    });
  };
  // A reader of a file gets the real cause of an early end, not just the error that a stream was destroyed.
  const content = async function* (entry: Bytes): Bytes {
    try {
      yield* entry;
    } catch (error) {
      throw reason(error);
    }
  };
  try {
    for await (const entry of extract) {
      const { name, type, size, mode, mtime } = entry.header;
      const kind =
        type === "file" || type === "contiguous-file" ? "file" : type === "directory" ? "folder" : "other";
      yield {
        name,
        kind,
        size,
        mode,
        mtimeMs: mtime.getTime(),
        content: content(entry as Bytes),
      };
      entry.resume();
    }
    await feeding;
  } catch (error) {
    throw reason(error);
  } finally {
    extract.destroy(new Error("nobody reads the archive any more"));
  }
}

/** tar(5): an archive consists of blocks of 512 bytes and ends with two blocks of zeros. Passes bytes on, and throws `bundle-damaged` when that end is missing. */
export const checkTarEnd: ByteTransform = async function* (source) {
  let tail: Uint8Array = new Uint8Array();
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    // Copied, because the reader may release the chunk.
    tail = Uint8Array.from((chunk.length >= 1024 ? chunk : Buffer.concat([tail, chunk])).subarray(-1024));
    yield chunk;
  }
  assertTarEnd(size, tail);
};

/** Throws `bundle-damaged` for an incomplete archive, given its size and at least its last 1,024 bytes. */
export function assertTarEnd(size: number, tail: Uint8Array): void {
  const end = tail.subarray(-1024);
  if (size % 512 === 0 && end.length === 1024 && end.every((byte) => byte === 0)) return;
  throw new MigrationError("bundle-damaged", "the archive ends too early: its end mark is missing");
}
