import type { Machine } from "../system/machine.ts";
import type { Bytes } from "./transform.ts";

/**
 * A stream that is read no faster than so many bytes a second: whoever sends it has to wait, as the connection between them holds little.
 * Throws the signal's reason when it is aborted.
 */
export async function* limitRate(
  source: Bytes,
  bytesPerSecond: number,
  { elapsed, wait }: Pick<Machine, "elapsed" | "wait">,
  signal: AbortSignal,
): Bytes {
  let due = elapsed();
  for await (const chunk of source) {
    yield chunk;
    // Time in which nothing came is not made up for.
    due = Math.max(due, elapsed()) + (chunk.length / bytesPerSecond) * 1000;
    const left = due - elapsed();
    if (left >= 1) await wait(left, signal);
  }
}
