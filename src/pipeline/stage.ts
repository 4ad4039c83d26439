import type { Bytes } from "../system/bytes.ts";
import { giveBack } from "../system/memory.ts";

export type { Bytes };

/** One change to a stream of bytes. A stage that meets an error throws it; it never ends early. */
export type Stage = (source: Bytes) => Bytes;

/** Joins stages, first to last, into one. */
export function through(...stages: Stage[]): Stage {
  return (source) => stages.reduce((bytes, stage) => stage(bytes), source);
}

/**
 * Passes chunks on and frees each when the next is asked for. So whoever reads from this must be done with a chunk by
 * then, and nobody before it may have kept one. See `giveBack`.
 */
export const givingBack: Stage = async function* (source) {
  for await (const chunk of source) {
    yield chunk;
    giveBack(chunk);
  }
};

/** Pulls everything through and keeps nothing: for stages that only look. */
export async function drain(source: Bytes): Promise<void> {
  for await (const _ of source);
}
