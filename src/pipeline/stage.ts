import type { Bytes } from "../system/system.ts";

export type { Bytes };

/** One change to a stream of bytes. A stage that meets an error throws it; it never ends early. */
export type Stage = (source: Bytes) => Bytes;

/** Joins stages, first to last, into one. */
export function through(...stages: Stage[]): Stage {
  return (source) => stages.reduce((bytes, stage) => stage(bytes), source);
}

/** Pulls everything through and keeps nothing: for stages that only look. */
export async function drain(source: Bytes): Promise<void> {
  for await (const _ of source);
}
