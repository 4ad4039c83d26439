import { MigrationError } from "../../../../errors.ts";
import type { Machine } from "../../../../system/machine.ts";
import type { Progress } from "../../../../system/progress.ts";
import type { ComparedTable, WholeComparison } from "./comparison.ts";
import { askBoth, forEachWith, type Pair, type Sides, withPair } from "./sides.ts";
import {
  type CountedTables,
  readTables,
  recentRows,
  type RowsSeen,
  seeRows,
  type Table,
  wasWritten,
} from "./tables.ts";
import { comparisonFailed, differing, same } from "./whole.ts";

/** Bytes of tables that are compared whole, and counted whole, in the outage: it must not grow with the database. */
export interface CutLimits {
  readonly digest: number;
  readonly count: number;
}

export const CUT_LIMITS: CutLimits = { digest: 48 * 1024 * 1024, count: 256 * 1024 * 1024 };

/** Pairs of connections while both servers have nothing else to do. */
const PAIRS = 2;

interface CutTools {
  readonly follows: (table: string) => boolean;
  readonly limits: CutLimits;
  readonly machine: Pick<Machine, "elapsed">;
  readonly progress: Progress;
}

export interface CutComparison {
  readonly tables: Readonly<Record<string, ComparedTable>>;
  readonly seconds: number;
}

/** How a table is compared while the old server is fenced. */
interface Due {
  readonly table: Table;
  readonly how: Exclude<ComparedTable["how"], "unchanged">;
}

/**
 * Compares a copy that has everything with the old database, which nobody writes to: only tables that were written to since
 * the whole comparison, and of large ones the rows that came since. Reads only. Throws `comparison-failed`, with all tables that
 * differ.
 */
export async function compareAtCut(
  sides: Sides,
  whole: WholeComparison,
  { follows, limits, machine, progress }: CutTools,
): Promise<CutComparison> {
  const began = machine.elapsed();
  const all = await withPair(sides, (pair) => askBoth(pair, readTables));
  const old = [...all.old.tables.values()].filter(({ name }) => follows(name));
  const isCountedAnew = all.old.since !== whole.countedSince;
  const differences = missingTables(all, old, follows);
  const tables: Record<string, ComparedTable> = {};
  const moved = old.filter((table) => {
    const before = whole.tables[table.name];
    if (before?.how !== "equal" || isCountedAnew || wasWritten(before.counters, table.counters)) return true;
    tables[table.name] = { how: "unchanged", rows: before.rows, notSeen: 0, seconds: 0 };
    return false;
  });
  const id = "follow/cut";
  const due = planTables(moved, whole, limits, isCountedAnew).filter(({ table }) =>
    all.copy.tables.has(table.name),
  );
  const bytes = ({ table, how }: Due) => (how === "recent" ? 0 : table.bytes);
  const total = due.reduce((sum, one) => sum + bytes(one), 0);
  progress.begin({ id, label: "compare what was written since", unit: "bytes", total });
  await forEachWith(sides, due, PAIRS, async (one, pair) => {
    const { table, how } = one;
    const since = machine.elapsed();
    const seen = await compareOne(table, how, whole, pair);
    if (typeof seen === "string") differences.push(seen);
    else tables[table.name] = { ...seen, how, seconds: (machine.elapsed() - since) / 1000 };
    progress.advance(id, bytes(one));
    return true;
  });
  progress.end(id);
  if (differences.length > 0) throw comparisonFailed(differences.sort());
  return {
    tables: Object.fromEntries(Object.entries(tables).sort(([one], [other]) => (one < other ? -1 : 1))),
    seconds: (machine.elapsed() - began) / 1000,
  };
}

function missingTables(
  { old, copy }: { readonly old: CountedTables; readonly copy: CountedTables },
  following: readonly Table[],
  follows: (table: string) => boolean,
): string[] {
  const missing = following.filter(({ name }) => !copy.tables.has(name));
  const more = [...copy.tables.keys()].filter((name) => follows(name) && !old.tables.has(name));
  return [
    ...missing.map(({ name }) => `${name}: no such table here`),
    ...more.map((name) => `${name}: no such table on the old host`),
  ];
}

/**
 * The smallest are compared whole, as far as the limit reaches; of the others the rows since, and all are counted where older rows
 * were changed, as far as that limit reaches; or where nothing else can be done, whatever it costs. Long ones first.
 */
function planTables(
  moved: readonly Table[],
  whole: WholeComparison,
  limits: CutLimits,
  isCountedAnew: boolean,
): Due[] {
  let digested = 0;
  let counted = 0;
  const due = [...moved]
    .sort((one, other) => one.bytes - other.bytes)
    .map((table): Due => {
      if ((digested += table.bytes) <= limits.digest) return { table, how: "whole" };
      const before = whole.tables[table.name];
      const mark = before?.watermark;
      // Nothing bounds it: a table that is new, or whose rows no index tells apart by age.
      if (!before || !mark) return { table, how: "counted" };
      const isGrowing =
        before.how !== "moved" && !isCountedAnew && olderChanges(before.counters, table.counters) === 0;
      if (!isGrowing && (counted += table.bytes) <= limits.count) return { table, how: "counted" };
      return { table, how: "recent" };
    });
  return due.reverse();
}

const olderChanges = (before: Table["counters"], now: Table["counters"]) =>
  now.file === before.file
    ? now.updated - before.updated + now.deleted - before.deleted
    : now.updated + now.deleted;

/** A line when it differs. */
async function compareOne(
  { name, counters }: Table,
  how: Due["how"],
  whole: WholeComparison,
  pair: Pair,
): Promise<Pick<ComparedTable, "rows" | "notSeen"> | string> {
  const ask = (options: Parameters<typeof seeRows>[2]) =>
    askBoth(pair, (session) => seeRows(session, name, options));
  if (how === "whole") {
    const seen = await ask({});
    return same(seen.old, seen.copy) ? { rows: seen.old.rows, notSeen: 0 } : differing(name, seen);
  }
  const before = whole.tables[name];
  const mark = before?.watermark;
  let recent = 0;
  if (mark) {
    const seen = await ask({ where: recentRows(name, mark) });
    if (!same(seen.old, seen.copy)) return `${differing(name, seen)}, of those since ${whole.at}`;
    recent = seen.old.rows;
  }
  const all: { old: RowsSeen; copy: RowsSeen } | undefined =
    how === "counted" ? await ask({ digest: false }) : undefined;
  if (all && !same(all.old, all.copy)) return differing(name, all);
  const inserted = before ? counters.inserted - before.counters.inserted : counters.inserted;
  const changed = before ? olderChanges(before.counters, counters) : counters.updated + counters.deleted;
  return {
    rows: all?.old.rows ?? before?.rows ?? recent,
    // Counts of one table may be lost with a crash: then they are lower.
    notSeen: Math.max(0, inserted - recent) + Math.max(0, changed),
  };
}

/** Throws `comparison-failed` when something has written to the copy: before it is promoted, nothing can. */
export function assertOnlyWrittenBySynlift(here: CountedTables, ours: ReadonlySet<string>): void {
  const written = [...here.tables.values()].filter(
    ({ name, counters: { inserted, updated, deleted } }) =>
      inserted + updated + deleted > 0 && !ours.has(name),
  );
  if (written.length === 0) return;
  throw new MigrationError(
    "comparison-failed",
    `something wrote to the new database after it was promoted: ${written.map(({ name }) => name).join(", ")}`,
    {
      hint: "stop what uses it: nothing may write to it before synlift open; then begin again: synlift follow stop, synlift follow",
    },
  );
}
