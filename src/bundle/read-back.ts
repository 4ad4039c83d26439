import { damagedGzip } from "../pipeline/compress.ts";
import { decryptWith, type Lock } from "../pipeline/encrypt.ts";
import type { Unpack } from "../pipeline/gzip-program.ts";
import { type Measure, meter } from "../pipeline/measure.ts";
import type { Bytes } from "../pipeline/stage.ts";
import type { Progress, Work } from "../system/progress.ts";
import { mustBeWhole, TAIL } from "./contents.ts";
import type { Artifact } from "./manifest.ts";

/** The result of reading an artifact back. */
export interface Found {
  /** The last bytes of the gzip file, if no external program decompressed it. */
  readonly end: Uint8Array;
  /** Size and hash after decryption and decompression. */
  readonly plain: Measure;
}

export interface Packed {
  /** Whether the artifact was stored without compression. */
  readonly stored: boolean;
  /** A program that decompresses it instead of zlib in Node. */
  readonly unpack?: Unpack | undefined;
}

/** Verifies what is on disk: that it can be decrypted and decompressed, and that the content is complete. */
export class ReadBack {
  /** The error, once the verification has failed. */
  failure: { readonly error: unknown } | undefined;
  #format: Artifact["format"];
  #packed: Packed;
  #lock: Lock;
  #progress: Progress;
  #told: string | undefined;
  #read = 0;
  #plain: Measure | undefined;

  constructor(
    format: Artifact["format"],
    packed: Packed,
    { lock, progress }: { lock: Lock; progress: Progress },
  ) {
    this.#format = format;
    this.#packed = packed;
    this.#lock = lock;
    this.#progress = progress;
  }

  /** Whether encryption and compression are intact, but the dump or archive inside is incomplete. */
  get provenButShort(): boolean {
    return this.failure !== undefined && this.#plain !== undefined;
  }

  async run(source: Bytes): Promise<Found> {
    const counted = meter((bytes) => {
      this.#read += bytes;
      if (this.#told !== undefined) this.#progress.advance(this.#told, bytes);
    });
    try {
      const { stored, unpack } = this.#packed;
      const opened = decryptWith(this.#lock)(counted(source));
      const asked = { tail: TAIL, dumpArchive: this.#format === "pg-custom" };
      const { size, sha256, tail, end, flaw } = unpack
        ? await unpack(opened).gunzipped({ ...asked, packing: "none" })
        : await opened.gunzipped({ ...asked, packing: stored ? "stored" : "deflated" });
      this.#plain = { size, sha256 };
      mustBeWhole(this.#format, { size, tail, flaw });
      return { end, plain: this.#plain };
    } catch (error) {
      this.failure = { error: damagedGzip(error) };
      throw this.failure.error;
    }
  }

  /** Reports the progress from now on, as this piece of work. */
  tell(work: Work): void {
    this.#progress.begin(work);
    this.#progress.advance(work.id, this.#read);
    this.#told = work.id;
  }
}
