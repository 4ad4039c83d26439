import { createHash } from "node:crypto";
import type { Bytes, ByteTransform } from "./transform.ts";

export interface Digest {
  /** Bytes. */
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/**
 * Passes bytes on unchanged and reports their size and hash.
 *
 * `report` is called once, after the last byte. If the stream fails it is not called,
 * so an incomplete part cannot get into the manifest.
 */
export function reportDigest(report: (seen: Digest) => void): ByteTransform {
  return async function* (source) {
    const tally = new Digester();
    for await (const chunk of source) {
      tally.add(chunk);
      yield chunk;
    }
    report(tally.result());
  };
}

/** Passes bytes on unchanged and reports the size of each chunk. */
export function reportBytes(tell: (bytes: number) => void): ByteTransform {
  return async function* (source) {
    for await (const chunk of source) {
      tell(chunk.length);
      yield chunk;
    }
  };
}

/** Size and hash of a stream, read to its end. `tell` gets the size of each chunk; what it throws is thrown. */
export async function digestOf(
  source: Bytes,
  tell: (bytes: number) => void = () => undefined,
): Promise<Digest> {
  const tally = new Digester();
  for await (const chunk of source) {
    tally.add(chunk);
    tell(chunk.length);
  }
  return tally.result();
}

/** Computes size and hash of chunks that are added one by one. */
export class Digester {
  #hash = createHash("sha256");
  #size = 0;

  add(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#size += chunk.length;
  }

  /** To be called once, at the end. */
  result(): Digest {
    return { size: this.#size, sha256: this.#hash.digest("hex") };
  }
}
