import { formatBytes, formatDuration } from "../../report/units.ts";
import { type Estimate, estimateMove, type Load, type Rates } from "./estimate.ts";

/** A way to shorten the outage. */
export interface Saving {
  readonly id: string;
  /** What to do, in words. */
  readonly what: string;
  /** Seconds saved, at most. */
  readonly seconds: number;
}

/** A table that can be made smaller, how, and the largest share that can be saved. */
const SHRINKABLE: readonly { table: string; id: string; share: number; how: string }[] = [
  {
    table: "state_groups_state",
    id: "compress-state",
    share: 0.9,
    how: "compress the state with rust-synapse-compress-state, days before (synapse_auto_compressor works on the running server)",
  },
  {
    table: "received_transactions",
    id: "received-transactions",
    share: 1,
    how: "let Synapse clean up received_transactions: it deletes rows older than a month, so a large table means that this does not run",
  },
  {
    table: "event_push_actions",
    id: "push-actions",
    share: 0.5,
    how: "ask users to read their unread messages: event_push_actions has a row for each unread message and user",
  },
];

/** Ways to shorten the outage and the most each saves, largest first; none below a second or one percent. */
export function savings(load: Load, rates: Rates, byTable: ReadonlyMap<string, number>): Saving[] {
  const now = estimateMove(load, rates);
  const less = (other: Load, otherRates: Rates = rates) =>
    now.outageSeconds - estimateMove(other, otherRates).outageSeconds;
  const found: Saving[] = [];
  for (const { table, id, share, how } of SHRINKABLE) {
    const bytes = (byTable.get(table) ?? 0) * share;
    const seconds = less({
      ...load,
      dumpBytes: load.dumpBytes - bytes,
      databaseBytes: load.databaseBytes * (1 - bytes / Math.max(1, load.dumpBytes)),
    });
    found.push({
      id,
      what: `${how}: up to ${formatBytes(bytes)} of the dump's ${formatBytes(load.dumpBytes)}`,
      seconds,
    });
  }
  found.push({
    id: "faster-link",
    what: `a link between the hosts that is twice as fast, or a bundle folder that both hosts can access`,
    seconds: less(load, { ...rates, link: rates.link * 2 }),
  });
  found.push({
    id: "less-media",
    what: `permanently delete old uploads that are no longer needed (admin API, media/delete with before_ts and size_gt): for each GiB`,
    seconds: load.mediaBytes < GIB ? 0 : less({ ...load, mediaBytes: load.mediaBytes - GIB }),
  });
  const least = Math.max(1, now.outageSeconds / 100);
  return found.filter(({ seconds }) => seconds >= least).toSorted((a, b) => b.seconds - a.seconds);
}

/**
 * Seconds that igzip would save where it is not installed. Not measured, because it is not there: on the dump
 * of a database of 1.1 GB it took 1.1 s where zlib took 7.8 s on one core.
 */
export function savedByIgzip(load: Load, rates: Rates, cores: number): number {
  const { packing } = rates.database;
  const faster = { ...rates.database, packing: packing * Math.max(1, IGZIP / cores) };
  return (
    estimateMove(load, rates).outageSeconds - estimateMove(load, { ...rates, database: faster }).outageSeconds
  );
}

const IGZIP = 7.8 / 1.1;

const GIB = 1024 ** 3;

/** "copy the bundle to the new host: 8 min 20 s, 58 %", the longest first. */
export function contributors({ outage, outageSeconds }: Estimate, most: number): string[] {
  return outage
    .toSorted((a, b) => b.seconds - a.seconds)
    .slice(0, most)
    .map(
      ({ label, seconds }) =>
        `${label}: ${formatDuration(seconds)}, ${Math.round((100 * seconds) / outageSeconds)} %`,
    );
}
