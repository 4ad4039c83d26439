import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { crc32, createGunzip, gzip, type ZlibOptions } from "node:zlib";
import { MigrationError } from "../errors.ts";
import { adoptBuffer, allocateBuffer, releaseBuffer } from "../system/buffers.ts";
import { type Bytes, type ByteTransform, releaseAfterUse } from "./transform.ts";

const gzipMember = promisify(gzip);

/** Uncompressed bytes in one gzip member. A gzip file may have several members (RFC 1952, 2.2). */
const MEMBER_SIZE = 1024 * 1024;

/** Size of zlib's output buffers: with the default of 16 KiB a third of the time was spent allocating them. */
const OUTPUT_SIZE = 512 * 1024;

/**
 * Compresses to gzip, in members that are compressed in parallel on all cores.
 * Level 0 stores without compression, for data that is compressed already, such as media. Releases the input buffers.
 */
export function compress(level: number, cores: number): ByteTransform {
  return level === 0 ? store : deflate(level, cores);
}

function deflate(level: number, cores: number): ByteTransform {
  const memberOf = (block: Uint8Array) =>
    compressBlock(block, { level, memLevel: 9, chunkSize: OUTPUT_SIZE });
  return async function* (source) {
    const inFlight: Promise<Uint8Array>[] = [];
    let any = false;
    for await (const block of blocks(releaseAfterUse(source), MEMBER_SIZE)) {
      any = true;
      const member = memberOf(block);
      // It is awaited later, in order; until then a rejection must not count as unhandled.
      member.catch(() => undefined);
      inFlight.push(member);
      if (inFlight.length > cores) yield await inFlight.shift()!;
    }
    for (const member of inFlight) yield await member;
    if (!any) yield await memberOf(new Uint8Array());
  };
}

/** Releases the block. */
async function compressBlock(block: Uint8Array, options: ZlibOptions): Promise<Uint8Array> {
  const member = await gzipMember(block, options);
  releaseBuffer(block);
  // Only a buffer of its own may be adopted: small results may share one with others.
  return member.buffer.byteLength === OUTPUT_SIZE ? adoptBuffer(member) : member;
}

/** RFC 1952, 2.3: deflate, no flags, no time, unknown operating system. */
const HEADER = Uint8Array.of(31, 139, 8, 0, 0, 0, 0, 0, 0, 255);

/** RFC 1951, 3.2.4: the length of a stored block has 16 bits. */
const LONGEST_STORED = 65_535;
const STORED_HEADER = 5;

/** Stored blocks that are passed on together. */
const BLOCKS_PER_GROUP = 16;

/** One member of stored blocks, without compression. */
const store: ByteTransform = async function* (source) {
  let sum = 0;
  let size = 0;
  let group = new StoredBlocks();
  yield HEADER;
  for await (let chunk of releaseAfterUse(source)) {
    sum = crc32(chunk, sum);
    size = (size + chunk.length) % 2 ** 32;
    while (chunk.length > 0) {
      chunk = chunk.subarray(group.add(chunk));
      if (!group.isFull) continue;
      yield group.bytes();
      group = new StoredBlocks();
    }
  }
  const end = Buffer.alloc(8);
  end.writeUInt32LE(sum, 0);
  end.writeUInt32LE(size, 4);
  yield Buffer.concat([group.bytes(), storedHeader(0, true), end]);
};

/** The size in bytes of what `compress(0, …)` makes of `bytes` bytes. */
export const storedSize = (bytes: number): number =>
  HEADER.length + bytes + STORED_HEADER * (Math.ceil(bytes / LONGEST_STORED) + 1) + 8;

/** A group of stored blocks that is being filled: each byte is copied once, whatever the chunks. */
class StoredBlocks {
  #bytes = allocateBuffer(BLOCKS_PER_GROUP * (STORED_HEADER + LONGEST_STORED));
  #used = 0;
  /** Bytes in the last block. */
  #inLast = 0;

  get isFull(): boolean {
    return this.#used === this.#bytes.length;
  }

  /** Copies the beginning of a chunk; returns how many bytes were copied. */
  add(chunk: Uint8Array): number {
    if (this.#inLast === 0) this.#used += STORED_HEADER;
    const taken = chunk.subarray(0, LONGEST_STORED - this.#inLast);
    this.#bytes.set(taken, this.#used);
    this.#used += taken.length;
    this.#inLast += taken.length;
    if (this.#inLast === LONGEST_STORED) this.#endBlock();
    return taken.length;
  }

  bytes(): Uint8Array {
    if (this.#inLast > 0) this.#endBlock();
    return this.#bytes.subarray(0, this.#used);
  }

  #endBlock(): void {
    this.#bytes.set(storedHeader(this.#inLast, false), this.#used - this.#inLast - STORED_HEADER);
    this.#inLast = 0;
  }
}

/** RFC 1951, 3.2.3 and 3.2.4: whether it is the last, its kind (00), its length, and the length once more, inverted. */
function storedHeader(length: number, last: boolean): Buffer {
  const header = Buffer.alloc(STORED_HEADER);
  header[0] = last ? 1 : 0;
  header.writeUInt16LE(length, 1);
  header.writeUInt16LE(length ^ 0xffff, 3);
  return header;
}

/** Reverses `compress`, and reads any other gzip file. Throws `bundle-damaged` when it is truncated or corrupt. */
export const decompress: ByteTransform = async function* (source) {
  const gunzip = createGunzip({ chunkSize: 1024 * 1024 });
  let sourceError: { error: unknown } | undefined;
  let letGo: Promise<void> | undefined;
  const watched = async function* (): Bytes {
    let release = () => {};
    letGo = new Promise((resolve) => (release = resolve));
    try {
      yield* source;
    } catch (error) {
      sourceError = { error };
      throw error;
    } finally {
      release();
    }
  };
  const feeding = pipeline(watched(), gunzip);
  feeding.catch(() => undefined);
  try {
    for await (const chunk of gunzip) yield chunk as Uint8Array;
    await feeding;
  } catch (error) {
    throw sourceError ? sourceError.error : damagedGzip(error);
  } finally {
    gunzip.destroy();
    // When a failure is reported, the source and any program behind it must have ended.
    await letGo;
  }
};

/** Turns an error of zlib into `bundle-damaged`. Other errors are returned unchanged. */
export function damagedGzip(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (!String(code).startsWith("Z_")) return error;
  return new MigrationError("bundle-damaged", `the compressed data is damaged: ${message}`, { cause: error });
}

/**
 * Passes a gzip file on and reports its last 8 bytes: CRC-32 and size of the content of its last member (RFC 1952,
 * 2.3.1). Called once, after the last byte.
 */
export function gzipEnd(report: (end: Uint8Array) => void): ByteTransform {
  return async function* (source) {
    let end: Uint8Array = new Uint8Array();
    for await (const chunk of source) {
      // Copied: a view would keep all of the chunk.
      end = Uint8Array.from(
        chunk.length >= 8 ? chunk.subarray(-8) : Buffer.concat([end, chunk]).subarray(-8),
      );
      yield chunk;
    }
    report(end);
  };
}

/** Cuts or joins chunks into blocks of the same size; the last may be shorter. */
export async function* blocks(source: Bytes, size: number): Bytes {
  let block: Buffer | undefined;
  let used = 0;
  for await (let chunk of source) {
    while (chunk.length > 0) {
      block ??= allocateBuffer(size);
      const taken = chunk.subarray(0, size - used);
      block.set(taken, used);
      used += taken.length;
      chunk = chunk.subarray(taken.length);
      if (used < size) continue;
      yield block;
      block = undefined;
      used = 0;
    }
  }
  if (block) yield block.subarray(0, used);
}
