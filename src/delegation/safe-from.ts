import { KEPT_AT_MOST } from "./cache-time.ts";
import type { Wait } from "./facts.ts";

/** What is always waited for, also where everything is short already. */
export const FLOOR: Wait = {
  what: "other servers may keep where this one is for up to 48 hours",
  seconds: KEPT_AT_MOST,
};

export interface SafeFrom {
  /** Milliseconds since 1970. */
  readonly safeFrom: number;
  /** Longest first; the floor is among them. */
  readonly waits: readonly Wait[];
}

/**
 * The earliest time at which an address can be moved without leaving anybody with the old one.
 *
 * Whoever asked a moment before the times were lowered keeps the answer for as long as it said then. So with T the
 * moment of lowering, a record with a time to live of t seconds is out of every resolver at T + t, and a file that may be
 * kept for c seconds is out of every cache at T + c. These waits begin together and pass side by side, each link of a
 * chain of aliases included, as each is remembered by itself: the end is T + the longest, not T + the sum.
 *
 * 48 hours are waited for in any case. For so long Synapse keeps what a well-known file said, whatever it says now; and
 * a record that is short today may have been lowered an hour ago, from a length that nobody can see any more.
 */
export function safeFrom(loweredAt: number, given: readonly Wait[]): SafeFrom {
  const waits = [...given, FLOOR].toSorted((a, b) => b.seconds - a.seconds);
  return { safeFrom: loweredAt + waits[0]!.seconds * 1000, waits };
}
