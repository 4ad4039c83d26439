import { createHash, type Hash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import { type Digest, Digester } from "../../pipeline/digest.ts";
import type { Bytes } from "../../system/bytes.ts";
import { BrokenBody } from "../../system/http/stream-server.ts";
import type { System } from "../../system/system.ts";
import { dropFromCache } from "../../transfer/drop-from-cache.ts";
import type { Pace } from "../../transfer/pace.ts";
import { CHECKSUM_MISMATCH } from "../../transfer/receiver-format.ts";
import type { WantedFile } from "../../transfer/remote.ts";
import { idOf, partialOf } from "./layout.ts";
import { Problem } from "./problem.ts";

/** What tus calls the checksum of one request. */
export interface Checksum {
  readonly algorithm: "sha1" | "sha256";
  readonly digest: Buffer;
}

/** Bytes that follow on what is there. */
export interface Piece {
  readonly from: number;
  /** Undefined when the client did not say. */
  readonly length: number | undefined;
  readonly checksum: Checksum | undefined;
  readonly body: Bytes;
  readonly signal: AbortSignal;
}

/** One file that is arriving, in its partial file. One writer at a time. */
export class Upload {
  readonly file: WantedFile;
  readonly id: string;
  readonly path: string;
  /** Bytes that are there. */
  offset: number;
  /** The hash of everything up to `at`; undefined after a restart, when only reading it back can tell. */
  #arriving: { readonly hash: Hash; at: number } | undefined;
  #busy: Promise<void> | undefined;

  constructor(file: WantedFile, folder: string, offset: number) {
    this.file = file;
    this.id = idOf(file);
    this.path = join(folder, partialOf(this.id));
    this.offset = offset;
    if (offset === 0) this.#restart();
  }

  get isWhole(): boolean {
    return this.offset === this.file.size;
  }

  get isBusy(): boolean {
    return this.#busy !== undefined;
  }

  /** Waits a while for the writer before: its connection may have ended without a word. Throws `busy`. */
  async settle(wait: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    if (this.#busy) {
      const over = new AbortController();
      await Promise.race([this.#busy, wait(over.signal).catch(() => undefined)]);
      over.abort();
    }
    this.#assertFree();
  }

  #assertFree(): void {
    if (this.#busy) throw new Problem(423, "busy", `${this.file.name} is being sent by another connection`);
  }

  /**
   * Writes a piece, and resolves when it is on disk. What arrived of a piece whose connection ends is kept. Throws `BrokenBody`, `Problem`
   * and what writing throws.
   */
  async write(piece: Piece, pace: Pace, files: System["files"]): Promise<void> {
    this.#assertFree();
    let done: () => void = () => undefined;
    this.#busy = new Promise((resolve) => (done = resolve));
    try {
      await this.#write(piece, pace, files);
    } finally {
      this.#busy = undefined;
      done();
    }
  }

  async #write(
    { from, length, checksum, body, signal }: Piece,
    pace: Pace,
    files: System["files"],
  ): Promise<void> {
    const { name, size } = this.file;
    const left = size - from;
    const tooLong = () =>
      new Problem(413, "too-large", `${name} is longer than the ${size} bytes that were announced for it`);
    if (length !== undefined && length > left) throw tooLong();
    if (from === 0) this.#restart();
    const arriving = this.#arriving?.at === from ? this.#arriving : undefined;
    const before = checksum && arriving ? arriving.hash.copy() : undefined;
    const own = checksum && createHash(checksum.algorithm);
    const growing = await files.grow(this.path, from);
    let at = from;
    let undone = false;
    try {
      for await (const chunk of body) {
        if (chunk.length > size - at) throw tooLong();
        await pace(chunk.length, signal);
        await growing.write(chunk);
        at += chunk.length;
        arriving?.hash.update(chunk);
        own?.update(chunk);
      }
      if (checksum && own && !own.digest().equals(checksum.digest)) {
        undone = true;
        throw new Problem(CHECKSUM_MISMATCH, "hash", `a piece of ${name} arrived with another checksum`);
      }
      await growing.sync();
    } catch (error) {
      // What is not synced is hashed again, and sent again when it was lost.
      await growing.sync().catch((failed: unknown) => {
        if (!(failed instanceof MigrationError)) throw failed;
      });
      // With a checksum of its own, half a piece proves nothing.
      if (checksum) undone = true;
      // What waits for its turn is ended by the signal.
      if (error === signal.reason && signal.aborted)
        throw error instanceof BrokenBody ? error : new BrokenBody("ended");
      throw error;
    } finally {
      await growing.close();
      if (undone) {
        at = from;
        const cut = await files.grow(this.path, from);
        await cut.close();
      }
      this.offset = at;
      this.#arriving = undone ? before && { hash: before, at } : arriving && { hash: arriving.hash, at };
    }
  }

  /** What arrived, as far as this process saw all of it. */
  arrived(): Digest | undefined {
    if (this.#arriving?.at !== this.offset) return undefined;
    return { size: this.offset, sha256: this.#arriving.hash.copy().digest("hex") };
  }

  #restart(): void {
    this.#arriving = { hash: createHash("sha256"), at: 0 };
  }
}

/** Size and hash of what is stored, read from the disk where that is possible. */
export async function readBack(
  path: string,
  { files, programs }: Pick<System, "files" | "programs">,
  tell: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Digest> {
  await dropFromCache(path, programs);
  const tally = new Digester();
  for await (const chunk of files.read(path, { from: 0, reuse: true })) {
    signal.throwIfAborted();
    tally.add(chunk);
    tell(chunk.length);
  }
  return tally.result();
}
