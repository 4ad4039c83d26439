import { CACHE_MAXIMUM } from "./cache-time.ts";
import type { Wait } from "./facts.ts";

/** The minimum waiting time, which applies even if all TTLs are low already. */
export const MINIMUM_WAIT: Wait = {
  what: "other servers may cache the address of this server for up to 48 hours",
  seconds: CACHE_MAXIMUM,
};

export interface SafeFrom {
  /** Milliseconds since 1970. */
  readonly safeFrom: number;
  /** Longest first, including the minimum. */
  readonly waits: readonly Wait[];
}

/**
 * The earliest time at which an address can be moved without anybody using a cached old one.
 *
 * A resolver that asked just before the TTLs were lowered caches the old answer for the old TTL. If the TTLs were
 * lowered at T, a record with an old TTL of t seconds has expired everywhere at T + t, and a file with a cache time of
 * c seconds at T + c. These times run in parallel, also for the links of a CNAME chain, because each record is cached
 * by itself: the end is T plus the longest of them, not T plus their sum.
 *
 * The minimum is 48 hours: Synapse may cache an earlier well-known file for that long, and a TTL that is low now may
 * have been lowered only an hour ago.
 */
export function safeFrom(loweredAt: number, given: readonly Wait[]): SafeFrom {
  const waits = [...given, MINIMUM_WAIT].toSorted((a, b) => b.seconds - a.seconds);
  return { safeFrom: loweredAt + waits[0]!.seconds * 1000, waits };
}
