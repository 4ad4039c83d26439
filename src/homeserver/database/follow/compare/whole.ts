import { MigrationError } from "../../../../errors.ts";
import type { Machine } from "../../../../system/machine.ts";
import type { Progress } from "../../../../system/progress.ts";
import { IDLE_STATISTICS_DELAY_MS } from "../../count.ts";
import type { Watermark, WholeComparison } from "./comparison.ts";
import { askBoth, forEachWith, type Pair, type Sides, withPair } from "./sides.ts";
import {
  readCounters,
  readTables,
  readWatermark,
  type RowsSeen,
  seeRows,
  settledRows,
  type Table,
  wasWritten,
} from "./tables.ts";

/** How the copy is brought to a position, and held there while it is read. */
export interface Hold {
  /** Resolves once everything up to this position is in the copy. */
  readonly reach: (position: string) => Promise<void>;
  /** Called once it is reached: from here on the copy is to change as little as possible. Returns the undo. */
  readonly pause: () => Promise<() => Promise<void>>;
}

interface Tools {
  /** Whether a table follows at all: of a publication, some do not. */
  readonly follows: (table: string) => boolean;
  readonly machine: Pick<Machine, "now" | "wait">;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** Pairs of connections: the old server's people need its other cores. */
const PAIRS = 1;

type WholeTable = WholeComparison["tables"][string];

/**
 * Compares every row of every table while the old server runs. A table to which nothing was written meanwhile, by the old server's own
 * counts, must be equal, in number and content; of another, the rows within its watermark must be, unless older rows were
 * changed; else the numbers may differ by at most what was written. Reads only. Throws `comparison-failed`.
 */
export async function compareWhole(sides: Sides, hold: Hold, tools: Tools): Promise<WholeComparison> {
  const { machine, progress } = tools;
  const begun = await withPair(sides, async ({ old }) => {
    // In this order: what is written after the counts were read shows itself in the next ones.
    const { since, tables: all } = await readTables(old);
    const tables = new Map([...all].filter(([name]) => tools.follows(name)));
    const marks = new Map<string, Watermark | null>();
    for (const table of tables.values()) marks.set(table.name, await readWatermark(old, table));
    const { position } = await old.one<{ position: string }>(
      "SELECT pg_current_wal_insert_lsn()::text AS position",
    );
    return { since, tables, marks, position };
  });
  await hold.reach(begun.position);
  const release = await hold.pause();
  const compared: Record<string, WholeTable> = {};
  const id = "follow/compare";
  const total = [...begun.tables.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  progress.begin({ id, label: "compare all rows with the old database", unit: "bytes", total });
  try {
    const here = await withPair(sides, ({ copy }) => readTables(copy));
    const missing = [...begun.tables.keys()].filter((name) => !here.tables.has(name));
    if (missing.length > 0) throw comparisonFailed(missing.map((name) => `${name}: no such table here`));
    // The largest last: those that are written to all the time are small, and are still as they were counted.
    const inOrder = [...begun.tables.values()].sort((one, other) => one.bytes - other.bytes);
    await forEachWith(sides, inOrder, PAIRS, async (table, pair) => {
      const watermark = begun.marks.get(table.name) ?? null;
      compared[table.name] = await compareTable(table, watermark, pair, tools);
      progress.advance(id, table.bytes);
    });
  } finally {
    await release();
    progress.end(id);
  }
  return {
    at: new Date(machine.now()).toISOString(),
    position: begun.position,
    countedSince: begun.since,
    tables: Object.fromEntries(Object.entries(compared).sort(([one], [other]) => (one < other ? -1 : 1))),
  };
}

async function compareTable(
  { name, counters }: Table,
  watermark: Watermark | null,
  pair: Pair,
  tools: Tools,
): Promise<WholeTable> {
  const seen = await askBoth(pair, (session) => seeRows(session, name));
  const known = { rows: seen.old.rows, counters, watermark };
  const isSame = same(seen.old, seen.copy);
  let now = await readCounters(pair.old, name);
  if (!isSame && now && !wasWritten(counters, now)) {
    // A session that stays connected tells later what it has written.
    await tools.machine.wait(IDLE_STATISTICS_DELAY_MS, tools.signal);
    now = await readCounters(pair.old, name);
  }
  // Dropped meanwhile, as the tables of a background update are.
  if (!now) return { ...known, how: "moved" };
  if (!wasWritten(counters, now)) {
    if (isSame) return { ...known, how: "equal" };
    throw comparisonFailed([differing(name, seen)]);
  }
  if (watermark) {
    const where = settledRows(name, watermark);
    const settled = await askBoth(pair, (session) => seeRows(session, name, { where }));
    if (same(settled.old, settled.copy)) return { ...known, how: "settled" };
  }
  const after = (await readCounters(pair.old, name)) ?? now;
  const written = after.inserted - counters.inserted + after.deleted - counters.deleted;
  const isRewritten = after.file !== counters.file || written < 0;
  if (!isRewritten && Math.abs(seen.old.rows - seen.copy.rows) > written)
    throw comparisonFailed([
      `${differing(name, seen)}, and only ${written} rows were inserted or deleted meanwhile`,
    ]);
  return { ...known, how: "moved" };
}

export const same = (one: RowsSeen, other: RowsSeen) =>
  one.rows === other.rows && one.digest === other.digest;

export const differing = (name: string, { old, copy }: { old: RowsSeen; copy: RowsSeen }) =>
  old.rows === copy.rows
    ? `${name}: ${old.rows} rows on both sides, but their content differs`
    : `${name}: ${old.rows} rows on the old host, ${copy.rows} here`;

/** `differences` is one line for each table. */
export const comparisonFailed = (differences: readonly string[]) =>
  new MigrationError(
    "comparison-failed",
    `the copy is not the same as the old database: ${differences.join("; ")}`,
    {
      hint: "nothing was opened. The old server can be started again (on the old host: synlift rollback); the copy has to be made again: synlift follow stop, then synlift follow",
    },
  );
