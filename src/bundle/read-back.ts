import { damagedGzip } from "../pipeline/compress.ts";
import { type Digest, reportBytes } from "../pipeline/digest.ts";
import { decryptWith, type EncryptionKeys } from "../pipeline/encrypt.ts";
import type { Decompressor } from "../pipeline/gzip-program.ts";
import type { Bytes } from "../pipeline/transform.ts";
import type { Progress, Task } from "../system/progress.ts";
import { assertComplete, TAIL_BYTES } from "./completeness.ts";
import type { Artifact } from "./manifest.ts";

/** The result of reading an artifact back. */
export interface ReadBackResult {
  /** The last bytes of the gzip file, if no external program decompressed it. */
  readonly end: Uint8Array;
  /** Size and hash after decryption and decompression. */
  readonly plain: Digest;
}

export interface CompressionInfo {
  /** Whether the artifact was stored without compression. */
  readonly stored: boolean;
  /** A program that decompresses it instead of zlib in Node. */
  readonly unpack?: Decompressor | undefined;
}

/** Verifies what is on disk: that it can be decrypted and decompressed, and that the content is complete. */
export class ReadBack {
  /** The error, once the verification has failed. */
  failure: { readonly error: unknown } | undefined;
  #format: Artifact["format"];
  #packed: CompressionInfo;
  #keys: EncryptionKeys;
  #progress: Progress;
  #told: string | undefined;
  #read = 0;
  #plain: Digest | undefined;

  constructor(
    format: Artifact["format"],
    packed: CompressionInfo,
    { keys, progress }: { keys: EncryptionKeys; progress: Progress },
  ) {
    this.#format = format;
    this.#packed = packed;
    this.#keys = keys;
    this.#progress = progress;
  }

  /** Whether encryption and compression are intact, but the dump or archive inside is incomplete. */
  get isValidButIncomplete(): boolean {
    return this.failure !== undefined && this.#plain !== undefined;
  }

  async run(source: Bytes): Promise<ReadBackResult> {
    const counted = reportBytes((bytes) => {
      this.#read += bytes;
      if (this.#told !== undefined) this.#progress.advance(this.#told, bytes);
    });
    try {
      const { stored, unpack } = this.#packed;
      const opened = decryptWith(this.#keys)(counted(source));
      const asked = { tail: TAIL_BYTES, dumpArchive: this.#format === "pg-custom" };
      const { size, sha256, tail, end, defect } = unpack
        ? await unpack(opened).digestGzip({ ...asked, packing: "none" })
        : await opened.digestGzip({ ...asked, packing: stored ? "stored" : "deflated" });
      this.#plain = { size, sha256 };
      assertComplete(this.#format, { size, tail, flaw: defect });
      return { end, plain: this.#plain };
    } catch (error) {
      this.failure = { error: damagedGzip(error) };
      throw this.failure.error;
    }
  }

  /** Reports the progress from now on, as this piece of work. */
  tell(work: Task): void {
    this.#progress.begin(work);
    this.#progress.advance(work.id, this.#read);
    this.#told = work.id;
  }
}
