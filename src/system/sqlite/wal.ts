import { readSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { endianness } from "node:os";

// The formats are those of https://sqlite.org/walformat.html and https://sqlite.org/fileformat2.html, section 4.

/** How far a -wal file counts, as the -shm file beside it tells. */
export interface WalMark {
  /** Every transaction changes it. */
  readonly text: string;
  /** Frames that count; later ones are of transactions that came after, or are no more than begun. */
  readonly frames: number;
  /** Eight bytes that stand in the -wal's header and in each of its frames, until it is begun anew. */
  readonly salts: Buffer;
}

const HEADER = 48;
const little = endianness() === "LE";
const nativeInt = (bytes: Buffer, at: number) => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));

/** The mark as it is now; undefined where a writer was just at it, or the file has none. */
export async function readMark(shm: FileHandle): Promise<WalMark | undefined> {
  const bytes = Buffer.alloc(2 * HEADER);
  const { bytesRead } = await shm.read(bytes, 0, bytes.length, 0);
  const first = bytes.subarray(0, HEADER);
  const isThere = bytesRead === bytes.length && first[12] !== 0;
  // Writers change one copy after the other.
  if (!isThere || !first.equals(bytes.subarray(HEADER))) return undefined;
  return {
    text: first.toString("hex"),
    frames: nativeInt(first, 16),
    salts: Buffer.from(first.subarray(32, 40)),
  };
}

const WAL_HEADER = 32;
const FRAME_HEADER = 24;
/** Bytes read at once, about. */
const BLOCK = 1024 * 1024;

/** Where the newest content of pages is, as far as it is not in the database file yet. */
export class WalPages {
  /** Page and frame in one number, sorted: of several frames of a page the last counts. */
  readonly #entries: BigUint64Array;
  readonly #wal: FileHandle;
  readonly #pageSize: number;
  readonly #salts: Buffer;
  #next = 0;

  private constructor(entries: BigUint64Array, wal: FileHandle, pageSize: number, salts: Buffer) {
    this.#entries = entries;
    this.#wal = wal;
    this.#pageSize = pageSize;
    this.#salts = salts;
  }

  /**
   * Reads every frame up to the mark and proves it by its checksum. Undefined when the file does not hold what the mark
   * says: then it was begun anew since, or is damaged. Takes eight bytes of memory for a frame.
   */
  static async read(
    wal: FileHandle,
    { frames, salts }: WalMark,
    pageSize: number,
  ): Promise<WalPages | undefined> {
    const header = Buffer.alloc(WAL_HEADER);
    await wal.read(header, 0, WAL_HEADER, 0);
    // The lowest bit of the magic number says in which order of bytes the checksums are made.
    const magic = header.readUInt32BE(0);
    const isWal = (magic & ~1) === 0x377f0682 && header.readUInt32BE(8) === pageSize;
    if (!isWal || !header.subarray(16, 24).equals(salts)) return undefined;
    const sum = new Checksum((magic & 1) === 0);
    sum.add(header.subarray(0, 24));
    const entries = new BigUint64Array(frames);
    const frameSize = FRAME_HEADER + pageSize;
    const block = Buffer.alloc(Math.max(1, Math.floor(BLOCK / frameSize)) * frameSize);
    for (let frame = 0; frame < frames;) {
      const wanted = Math.min(block.length, (frames - frame) * frameSize);
      const { bytesRead } = await wal.read(block, 0, wanted, WAL_HEADER + frame * frameSize);
      const whole = Math.floor(bytesRead / frameSize);
      if (whole === 0) return undefined;
      for (let at = 0; at < whole * frameSize; at += frameSize, frame += 1) {
        const one = block.subarray(at, at + frameSize);
        sum.add(one.subarray(0, 8));
        sum.add(one.subarray(FRAME_HEADER));
        if (!one.subarray(8, 16).equals(salts) || !sum.equals(one.subarray(16, 24))) return undefined;
        entries[frame] = (BigInt(one.readUInt32BE(0)) << 32n) | BigInt(frame);
      }
    }
    return new WalPages(entries.sort(), wal, pageSize, salts);
  }

  /**
   * Puts the pages that it has over a block of the database file which begins at that offset; blocks come in order.
   * False when the file was begun anew meanwhile: then the block is spoilt.
   */
  overlay(block: Buffer, offset: number): boolean {
    const end = offset + block.length;
    let changed = false;
    for (; this.#next < this.#entries.length; this.#next += 1) {
      const entry = this.#entries[this.#next]!;
      const at = (Number(entry >> 32n) - 1) * this.#pageSize;
      if (at >= end) break;
      const later = this.#entries[this.#next + 1];
      if (at < offset || (later !== undefined && later >> 32n === entry >> 32n)) continue;
      const frame = Number(entry & 0xffffffffn);
      const from = WAL_HEADER + frame * (FRAME_HEADER + this.#pageSize) + FRAME_HEADER;
      // At once: a page at a time, each waited for, would cost more than reading.
      const got = readSync(this.#wal.fd, block, at - offset, this.#pageSize, from);
      if (got !== this.#pageSize) return false;
      changed = true;
    }
    return !changed || this.isSame();
  }

  /** Whether the file is still the one that was read: who begins it anew writes its header first. */
  isSame(): boolean {
    const salts = Buffer.alloc(8);
    return readSync(this.#wal.fd, salts, 0, 8, 16) === 8 && salts.equals(this.#salts);
  }
}

/** Runs from the header through all frames. */
class Checksum {
  #first = 0;
  #second = 0;
  readonly #little: boolean;

  constructor(isLittle: boolean) {
    this.#little = isLittle;
  }

  /** Takes a multiple of eight bytes. */
  add(bytes: Buffer): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let [first, second] = [this.#first, this.#second];
    for (let at = 0; at < bytes.length; at += 8) {
      first = (first + view.getUint32(at, this.#little) + second) >>> 0;
      second = (second + view.getUint32(at + 4, this.#little) + first) >>> 0;
    }
    [this.#first, this.#second] = [first, second];
  }

  equals(stored: Buffer): boolean {
    return stored.readUInt32BE(0) === this.#first && stored.readUInt32BE(4) === this.#second;
  }
}
