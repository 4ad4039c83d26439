import { crc32 } from "node:zlib";
import { type Digest, Digester } from "../pipeline/digest.ts";
import type { Bytes } from "../pipeline/transform.ts";
import type { Files } from "../system/files/files.ts";
import { addTime, shortTime } from "../system/trace/trace.ts";

/** Bytes that are read back in one step while more are being written. */
const STEP = 8 * 1024 * 1024;

interface WrittenFile {
  path: string;
  written: number;
  done: boolean;
}

/** Follows the files of an artifact on disk, so that they can be read back while the rest is still being written. */
export class FollowingReader {
  /** Size and hash of what was read, for each file. */
  readonly read: Digest[] = [];
  #whole: Digester | undefined;
  #sums: { written: number; read: number } | undefined;
  /** Called when all of a file was read back, with its final path: nothing reads it again. */
  readonly #wasRead: (path: string, digest: Digest) => void;
  #files: Files;
  #stretches: WrittenFile[] = [];
  #ended = false;
  #failure: { error: unknown } | undefined;
  #reading: Promise<void> | undefined;
  #wake = () => {};

  /**
   * `inParts`: whether there may be several files. `comesBy`: whether every written chunk is reported with `wroteChunk`, so
   * that it can be compared with what is read.
   */
  constructor(
    files: Files,
    { inParts, comesBy }: { inParts: boolean; comesBy: boolean },
    wasRead: (path: string, digest: Digest) => void = () => undefined,
  ) {
    this.#files = files;
    this.#wasRead = wasRead;
    this.#whole = inParts ? new Digester() : undefined;
    this.#sums = comesBy ? { written: 0, read: 0 } : undefined;
  }

  /** Whether the bytes read differ from those written, as far as those were reported with `wroteChunk`. */
  get differs(): boolean {
    return this.#sums !== undefined && this.#sums.written !== this.#sums.read;
  }

  /** Size and hash of everything that was read. Call it once, at the end. */
  whole(): Digest {
    return this.#whole?.result() ?? this.read[0]!;
  }

  /** A new file begins; until `finish` it has this path. */
  begin(path: string): void {
    this.#stretches.push({ path, written: 0, done: false });
  }

  /** These bytes were written to the file that was begun last. */
  wroteChunk(chunk: Uint8Array): void {
    if (this.#sums) this.#sums.written = crc32(chunk, this.#sums.written);
    this.wroteBytes(chunk.length);
  }

  /** `bytes` more bytes were written to the file that was begun last. */
  wroteBytes(bytes: number): void {
    this.#last.written += bytes;
    this.#wake();
  }

  /** Finishes the file that was begun last, while it is not being read. From then on it has this path. */
  async finish(path: string, finish: () => Promise<void>): Promise<void> {
    while (this.#reading) await this.#reading;
    await finish();
    Object.assign(this.#last, { path, done: true });
    this.#wake();
  }

  /** No more data follows. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Writing has failed: the reader gets this error. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  /**
   * The whole artifact as it is on disk; waits for data that is not written yet. Can be read once. Each chunk is
   * valid only until the next one is requested.
   */
  async *bytes(): Bytes {
    for (let index = 0; ; index += 1) {
      while (index >= this.#stretches.length && !this.#ended) await this.#change();
      const stretch = this.#stretches[index];
      if (!stretch) return;
      const tally = new Digester();
      for (let from = 0; ;) {
        while (!stretch.done && stretch.written - from < STEP) await this.#change();
        // The last step reads to the end of the file, to detect more data than was written.
        const to = stretch.done && stretch.written - from <= STEP ? undefined : from + STEP;
        yield* this.#step(stretch.path, from, to, tally);
        if (to === undefined) break;
        from = to;
      }
      const digest = tally.result();
      this.read.push(digest);
      this.#wasRead(stretch.path, digest);
    }
  }

  async *#step(path: string, from: number, to: number | undefined, tally: Digester): Bytes {
    let release = () => {};
    this.#reading = new Promise((resolve) => (release = resolve));
    try {
      for await (const chunk of this.#files.read(path, {
        from,
        reuse: true,
        ...(to === undefined ? {} : { to }),
      })) {
        this.#throwIfFailed();
        tally.add(chunk);
        this.#whole?.add(chunk);
        if (this.#sums) this.#sums.read = crc32(chunk, this.#sums.read);
        yield chunk;
      }
    } finally {
      this.#reading = undefined;
      release();
    }
  }

  async #change(): Promise<void> {
    this.#throwIfFailed();
    if (this.#ended && this.#stretches.every(({ done }) => done)) return;
    const began = shortTime();
    await new Promise<void>((resolve) => (this.#wake = resolve));
    addTime("waits of the reading back for the writing", began);
    this.#throwIfFailed();
  }

  #throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error;
  }

  get #last(): WrittenFile {
    return this.#stretches.at(-1)!;
  }
}
