import { releaseBuffer } from "../system/buffers.ts";
import type { Bytes } from "../system/bytes.ts";

export type { Bytes };

/** A transformation of a byte stream. On an error it throws; it never just ends early. */
export type ByteTransform = (source: Bytes) => Bytes;

/** Composes transformations, first to last, into one. */
export function compose(...stages: ByteTransform[]): ByteTransform {
  return (source) => stages.reduce((bytes, stage) => stage(bytes), source);
}

/**
 * Passes chunks on and releases each of them when the next is requested. A reader must not use a chunk after that, and
 * the source must not keep one. See `releaseBuffer`.
 */
export const releaseAfterUse: ByteTransform = async function* (source) {
  for await (const chunk of source) {
    yield chunk;
    releaseBuffer(chunk);
  }
};

/** Reads a stream to its end and discards the data, for transformations that only verify. */
export async function drain(source: Bytes): Promise<void> {
  for await (const _ of source);
}
