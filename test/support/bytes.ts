import type { Bytes } from "../../src/pipeline/transform.ts";

/** A source of these chunks, one after another. */
export async function* chunked(...chunks: readonly (Uint8Array | string)[]): Bytes {
  for (const chunk of chunks) {
    await Promise.resolve();
    yield typeof chunk === "string" ? Buffer.from(chunk) : chunk;
  }
}

/** The same bytes in chunks of `size`. */
export function cut(bytes: Uint8Array, size: number): Bytes {
  const count = Math.ceil(bytes.length / size);
  return chunked(
    ...Array.from({ length: count }, (_, index) => bytes.subarray(index * size, (index + 1) * size)),
  );
}

/** Everything a source gives, as one. */
export async function collect(source: Bytes): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export const BROKEN = "the source broke";

/** A source that gives these chunks and then fails. */
export async function* breaksAfter(...chunks: readonly (Uint8Array | string)[]): Bytes {
  yield* chunked(...chunks);
  throw new Error(BROKEN);
}

/** Bytes that no compression makes smaller, the same in every run. */
export function noise(size: number, seed = 1): Buffer {
  const out = Buffer.alloc(size);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < size; at++) {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[at] = state & 0xff;
  }
  return out;
}

/** A copy with one bit flipped. */
export function flipped(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at]! ^= 1;
  return copy;
}
