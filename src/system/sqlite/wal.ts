import { readSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { endianness } from "node:os";

// The formats are those of https://sqlite.org/walformat.html and https://sqlite.org/fileformat2.html, section 4.

/** How much of a -wal file is valid, according to its -shm file. */
export interface WalPosition {
  /** Changes with every transaction. */
  readonly text: string;
  /** The number of valid frames; later ones belong to later or uncommitted transactions. */
  readonly frames: number;
  /** The salts in the header and in every frame of the -wal; they change when it is restarted. */
  readonly salts: Buffer;
}

const HEADER = 48;
const little = endianness() === "LE";
const nativeInt = (bytes: Buffer, at: number) => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));

/** The current mark; undefined while a writer is updating it, or when there is none. */
export async function readWalPosition(shm: FileHandle): Promise<WalPosition | undefined> {
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

/** The latest versions of the pages in a -wal file. */
export class WalPages {
  /** Page and frame in one number, sorted: the last frame of a page is valid. */
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
   * Reads every frame up to the mark and verifies its checksum. Undefined when the file does not match the mark: then
   * it was restarted or is damaged. Uses eight bytes of memory for each frame.
   */
  static async read(
    wal: FileHandle,
    { frames, salts }: WalPosition,
    pageSize: number,
  ): Promise<WalPages | undefined> {
    const header = Buffer.alloc(WAL_HEADER);
    await wal.read(header, 0, WAL_HEADER, 0);
    // The lowest bit of the magic number is the byte order of the checksums.
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
   * Overwrites the pages of a block of the database file at an offset with those of the -wal; blocks must be in order.
   * False when the -wal was restarted meanwhile: then the block is invalid.
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
      // Synchronous, because awaiting each page would cost more than reading it.
      const got = readSync(this.#wal.fd, block, at - offset, this.#pageSize, from);
      if (got !== this.#pageSize) return false;
      changed = true;
    }
    return !changed || this.isSame();
  }

  /** Whether the -wal was not restarted since it was read; a restart writes the header first. */
  isSame(): boolean {
    const salts = Buffer.alloc(8);
    return readSync(this.#wal.fd, salts, 0, 8, 16) === 8 && salts.equals(this.#salts);
  }
}

/** The cumulative checksum of the header and all frames. */
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
