import type { Machine } from "../system/machine.ts";

/** Waits until so many more bytes may be sent. Shared by all transfers of a run. Throws the signal's reason. */
export type Pace = (bytes: number, signal: AbortSignal) => Promise<void>;

export const unlimited: Pace = () => Promise.resolve();

/** Longest time in milliseconds that is made up for after a pause. */
const BURST_MS = 250;

/** At most so many bytes a second on average. */
export function limitedTo(
  bytesPerSecond: number,
  { elapsed, wait }: Pick<Machine, "elapsed" | "wait">,
): Pace {
  /** When everything that was let through would have been sent at that rate. */
  let sentBy = -Infinity;
  return async (bytes, signal) => {
    const now = elapsed();
    sentBy = Math.max(sentBy, now - BURST_MS) + (bytes / bytesPerSecond) * 1000;
    if (sentBy > now) await wait(sentBy - now, signal);
  };
}
