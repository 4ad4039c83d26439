import { z } from "zod";
import type { Journal } from "../../journal/journal.ts";
import type { Machine } from "../../system/machine.ts";

// What the journal of a move records besides its finished steps. All times are ISO 8601.

/** When the outage started; removed when the old server runs again. */
export const OUTAGE_SINCE = "outageSince";

/** The same moment by a clock that nobody sets: a `BootTime` as JSON. */
export const OUTAGE_BOOT = "outageBoot";

/** Set for a direct transfer, whose artifacts are on another host. */
export const SENT_DIRECTLY = "road";

/** Set for a direct transfer whose database is a copy that follows on the new host. */
export const DATABASE_FOLLOWS = "databaseFollows";

/** When the new host had received everything. */
export const HANDED_OVER = "handedOver";

/**
 * The time from which everything that a new server needs has been sent, or may have been. Written before the new host is
 * told, and removed when the old server runs again.
 */
export const ALL_SENT = "complete";

const bootTimeSchema = z.object({ boot: z.string(), milliseconds: z.number() });

/**
 * Seconds since the outage began, on the clock since boot if this host has not been booted since: the time of day may have
 * been set in between. Never negative; undefined when there is no outage.
 */
export function outageSeconds(
  { facts }: Pick<Journal, "facts">,
  machine: Pick<Machine, "now" | "sinceBoot">,
): number | undefined {
  const since = facts[OUTAGE_SINCE];
  if (since === undefined) return undefined;
  const now = machine.sinceBoot();
  const began = parseBootTime(facts[OUTAGE_BOOT]);
  if (now && began?.boot === now.boot) return Math.max(0, now.milliseconds - began.milliseconds) / 1000;
  return Math.max(0, machine.now() - Date.parse(since)) / 1000;
}

/** It is only shown: nothing depends on it. */
function parseBootTime(text: string | undefined): z.infer<typeof bootTimeSchema> | undefined {
  try {
    return bootTimeSchema.parse(JSON.parse(text ?? ""));
  } catch {
    return undefined;
  }
}
