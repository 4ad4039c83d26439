import { damagedGzip } from "../pipeline/compress.ts";
import { decryptWith, type Lock } from "../pipeline/encrypt.ts";
import { meter, type Measure } from "../pipeline/measure.ts";
import type { Bytes } from "../pipeline/stage.ts";
import type { Progress, Work } from "../system/progress.ts";
import { mustBeWhole, TAIL } from "./contents.ts";
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
  #stored: boolean;
  #lock: Lock;
  #progress: Progress;
  #told: string | undefined;
  #read = 0;
  #plain: Measure | undefined;

  /** `stored`: whether what was packed was not compressed. */
  constructor(
    format: Artifact["format"],
    stored: boolean,
    { lock, progress }: { lock: Lock; progress: Progress },
  ) {
    this.#format = format;
    this.#stored = stored;
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
      const { size, sha256, tail, end } = await decryptWith(this.#lock)(counted(source)).gunzipped({
        tail: TAIL,
        stored: this.#stored,
      });
      this.#plain = { size, sha256 };
      mustBeWhole(this.#format, { size, tail });
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
