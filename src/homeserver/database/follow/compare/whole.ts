import { hasSqlstate, MigrationError } from "../../../../errors.ts";
import type { Machine } from "../../../../system/machine.ts";
import type { PostgresSession } from "../../../../system/postgres/postgres.ts";
import type { Progress } from "../../../../system/progress.ts";
import { IDLE_STATISTICS_DELAY_MS } from "../../count.ts";
import type { Counters, Watermark, WholeComparison } from "./comparison.ts";
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

/** undefined_table and undefined_column (PostgreSQL documentation, Appendix A): background updates make tables, and drop them. */
const NOT_THERE = ["42P01", "42703"];
const LOOKS = 10;

/**
 * Compares every row of every table while the old server runs. A table to which nothing was written meanwhile, by the old server's own
 * counts, must be equal, in number and content; of another, the rows within its watermark must be, unless older rows were
 * changed; else the numbers may differ by at most what was written. One that is dropped or made again meanwhile is compared at the
 * cut-over. Reads only. Throws `comparison-failed`.
 */
export async function compareWhole(sides: Sides, hold: Hold, tools: Tools): Promise<WholeComparison> {
  const { machine, progress } = tools;
  const begun = await beginWhole(sides, tools);
  await hold.reach(begun.position);
  const release = await hold.pause();
  const compared: Record<string, WholeTable> = {};
  const id = "follow/compare";
  const total = [...begun.tables.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  progress.begin({ id, label: "compare all rows with the old database", unit: "bytes", total });
  try {
    const gone = await droppedTables(sides, begun.tables);
    // The largest last: those that are written to all the time are small, and are still as they were counted.
    const inOrder = [...begun.tables.values()]
      .filter(({ name }) => !gone.has(name))
      .sort((one, other) => one.bytes - other.bytes);
    await forEachWith(sides, inOrder, PAIRS, async (table, pair) => {
      const watermark = begun.marks.get(table.name) ?? null;
      const found = await compareTable(table, watermark, pair, tools).catch(async (error: unknown) => {
        if (!hasSqlstate(error, NOT_THERE) || !(await withPair(sides, ({ old }) => wasReplaced(table, old))))
          throw error;
      });
      if (found) compared[table.name] = found;
      progress.advance(id, table.bytes);
      return found !== undefined;
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

interface Begun {
  readonly since: string;
  readonly tables: ReadonlyMap<string, Table>;
  readonly marks: ReadonlyMap<string, Watermark | null>;
  readonly position: string;
}

/** What is to be compared, and from which position on. */
async function beginWhole(sides: Sides, { follows }: Tools): Promise<Begun> {
  const look = () =>
    withPair(sides, async ({ old }) => {
      // In this order: what is written after the counts were read shows itself in the next ones.
      const { since, tables: all } = await readTables(old);
      const tables = new Map([...all].filter(([name]) => follows(name)));
      const marks = new Map<string, Watermark | null>();
      for (const table of tables.values()) marks.set(table.name, await readWatermark(old, table));
      const { position } = await old.one<{ position: string }>(
        "SELECT pg_current_wal_insert_lsn()::text AS position",
      );
      return { since, tables, marks, position };
    });
  for (let left = LOOKS; ; left -= 1)
    try {
      return await look();
    } catch (error) {
      if (left === 1 || !hasSqlstate(error, NOT_THERE)) throw error;
    }
}

/** Those that the copy no longer has, because the old server has dropped them as well. Throws `comparison-failed` for others. */
function droppedTables(sides: Sides, tables: Begun["tables"]): Promise<ReadonlySet<string>> {
  return withPair(sides, async ({ old, copy }) => {
    const here = await readTables(copy);
    const missing = [...tables.values()].filter(({ name }) => !here.tables.has(name));
    const lost: string[] = [];
    for (const table of missing) if (!(await wasReplaced(table, old))) lost.push(table.name);
    if (lost.length > 0) throw comparisonFailed(lost.map((name) => `${name}: no such table here`));
    return new Set(missing.map(({ name }) => name));
  });
}

/** Whether it was dropped since it was counted, and perhaps made again. */
async function wasReplaced({ name, counters: { file } }: Table, old: PostgresSession): Promise<boolean> {
  return (await readCounters(old, name))?.file !== file;
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
  const tooFew = (after: Counters): number | undefined => {
    const written = after.inserted - counters.inserted + after.deleted - counters.deleted;
    const isRewritten = after.file !== counters.file || written < 0;
    return !isRewritten && Math.abs(seen.old.rows - seen.copy.rows) > written ? written : undefined;
  };
  let after = (await readCounters(pair.old, name)) ?? now;
  if (tooFew(after) !== undefined) {
    // What was written in the last seconds is counted later.
    await tools.machine.wait(IDLE_STATISTICS_DELAY_MS, tools.signal);
    after = (await readCounters(pair.old, name)) ?? after;
  }
  const written = tooFew(after);
  if (written !== undefined)
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
