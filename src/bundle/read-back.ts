import { decompress, gzipEnd } from "../pipeline/compress.ts";
import { decryptWith, type Lock } from "../pipeline/encrypt.ts";
import { measure, meter, type Measure } from "../pipeline/measure.ts";
import { drain, through, type Bytes } from "../pipeline/stage.ts";
import type { Progress, Work } from "../system/progress.ts";
import { wholeContents } from "./contents.ts";
import type { Artifact } from "./manifest.ts";

/** What was found when an artifact was read back. */
export interface Found {
  /** The last bytes of the gzip file. */
  readonly end: Uint8Array;
  /** Decrypted and gunzipped. */
  readonly plain: Measure;
}

/** Proves what lies on the disk: that it decrypts and gunzips, and that what comes out is whole; and measures both. */
export class ReadBack {
  /** Why it cannot be what was written, once that is known. */
  failure: { readonly error: unknown } | undefined;
  #format: Artifact["format"];
  #lock: Lock;
  #progress: Progress;
  #told: string | undefined;
  #read = 0;
  #plain: Measure | undefined;

  constructor(format: Artifact["format"], { lock, progress }: { lock: Lock; progress: Progress }) {
    this.#format = format;
    this.#lock = lock;
    this.#progress = progress;
  }

  /** Whether it was gpg's and gzip's whole output, but not a whole dump or archive that went in. */
  get provenButShort(): boolean {
    return this.failure !== undefined && this.#plain !== undefined;
  }

  async run(source: Bytes): Promise<Found> {
    let end: Uint8Array | undefined;
    const stages = through(
      meter((bytes) => {
        this.#read += bytes;
        if (this.#told !== undefined) this.#progress.advance(this.#told, bytes);
      }),
      decryptWith(this.#lock),
      gzipEnd((seen) => (end = seen)),
      decompress,
      measure((seen) => (this.#plain = seen)),
      wholeContents(this.#format),
    );
    try {
      await drain(stages(source));
    } catch (error) {
      this.failure = { error };
      throw error;
    }
    return { end: end!, plain: this.#plain! };
  }

  /** From here on it is the work that goes on, and its progress is told. */
  tell(work: Work): void {
    this.#progress.begin(work);
    this.#progress.advance(work.id, this.#read);
    this.#told = work.id;
  }
}
