import { damagedGzip } from "../pipeline/compress.ts";
import { decryptWith, type Lock } from "../pipeline/encrypt.ts";
import type { Unpack } from "../pipeline/gzip-program.ts";
import { type Measure, meter } from "../pipeline/measure.ts";
import type { Bytes } from "../pipeline/stage.ts";
import type { Progress, Work } from "../system/progress.ts";
import { mustBeWhole, TAIL } from "./contents.ts";
import type { Artifact } from "./manifest.ts";

/** What was found when an artifact was read back. */
export interface Found {
  /** The last bytes of the gzip file, if we unpacked it. */
  readonly end: Uint8Array;
  /** Decrypted and gunzipped. */
  readonly plain: Measure;
}

export interface Packed {
  /** Whether what was packed was not compressed. */
  readonly stored: boolean;
  /** What unpacks it instead of ours. */
  readonly unpack?: Unpack | undefined;
}

/** Proves what lies on the disk: that it decrypts and gunzips, and that what comes out is whole; and measures both. */
export class ReadBack {
  /** Why it cannot be what was written, once that is known. */
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

  /** Whether it was gpg's and gzip's whole output, but not a whole dump or archive that went in. */
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

  /** From here on it is the work that goes on, and its progress is told. */
  tell(work: Work): void {
    this.#progress.begin(work);
    this.#progress.advance(work.id, this.#read);
    this.#told = work.id;
  }
}
