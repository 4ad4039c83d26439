import type { Finding } from "../../../../report/finding.ts";
import { formatCount, formatCountOf, formatDuration } from "../../../../report/units.ts";
import type { QuerySession } from "../../../../system/query.ts";
import { countRows } from "../../count.ts";
import type { ComparedTable, Followed } from "./comparison.ts";
import { readTables, wasWritten } from "./tables.ts";

const ID = "row-counts";

/**
 * The gate of the rows of a database that followed the old one: nothing was written to it since it was compared, by PostgreSQL's own
 * counts. Where these were lost, as after a crash, every row is counted again, which takes longer the larger the database is.
 */
export async function verifyFollowed(followed: Followed, session: QuerySession): Promise<Finding> {
  const { since, tables } = await readTables(session);
  if (since !== followed.countedSince) return countAgain(followed, session);
  const names = [...new Set([...Object.keys(followed.counters), ...tables.keys()])].sort();
  const written = names.filter((name) => {
    const [before, now] = [followed.counters[name], tables.get(name)?.counters];
    return !before || !now || wasWritten(before, now);
  });
  if (written.length === 0)
    return {
      id: ID,
      level: "ok",
      sentence: `${describeComparison(followed)}; nothing was written to it since`,
      evidence: describeTables(followed),
    };
  return {
    id: ID,
    level: "blocker",
    sentence: `${formatCountOf(written.length, "table")} were written to since the comparison with the old host`,
    evidence: written,
    hint: WRITTEN,
  };
}

const WRITTEN =
  "has a server been started on this database? remove it, start the old server again (synlift rollback there), and let a new copy follow";

/** Of those that were compared whole, the number of rows is known; the others only had rows added. */
async function countAgain(followed: Followed, session: QuerySession): Promise<Finding> {
  const found = await countRows(session);
  const ours = (name: string) => {
    const { inserted = 0, updated = 0, deleted = 0 } = followed.counters[name] ?? {};
    return inserted + updated + deleted > 0;
  };
  const differing = Object.entries(followed.tables).filter(([name, { how, rows }]) => {
    const now = found[name];
    if (now === undefined) return true;
    return how === "recent" || ours(name) ? false : now !== rows;
  });
  const lost = "PostgreSQL here has lost its counts of what was written, as after a crash";
  if (differing.length === 0)
    return {
      id: ID,
      level: "ok",
      sentence: `${describeComparison(followed)}; ${lost}, and the tables have the rows that were counted then`,
      evidence: describeTables(followed),
    };
  return {
    id: ID,
    level: "blocker",
    sentence: `${lost}, and the row counts of ${formatCountOf(differing.length, "table")} differ from those of the comparison`,
    evidence: differing.map(
      ([name, { rows }]) => `${name}: ${rows} expected, ${found[name] ?? "no such table"} found`,
    ),
    hint: WRITTEN,
  };
}

/** What was compared when, at which positions. */
export function describeComparison({ road, whole, cut, tables }: Followed): string {
  const count = (how: ComparedTable["how"]) => Object.values(tables).filter((one) => one.how === how).length;
  const kind = road === "standby" ? "physical replication (standby)" : "logical replication";
  const parts = [
    ...[`${count("unchanged")} not written to since`, `${count("whole")} compared in all rows`],
    `${count("recent")} in the rows that came since`,
    `${count("counted")} by their number of rows`,
  ];
  return `the database came by ${kind}: all its rows were compared with the old host on ${whole.at} (position ${whole.position}), and ${Object.keys(tables).length} tables on ${cut.at} (position ${cut.position}) while the old server was fenced, in ${formatDuration(cut.seconds)}: ${parts.join(", ")}`;
}

/** The tables of which not every row was compared at the cut-over, and what that leaves open; and what took long. */
export const describeTables = ({ tables }: Pick<Followed, "tables">): string[] =>
  Object.entries(tables).flatMap(([name, { how, notSeen, seconds }]) => {
    if (how === "unchanged" || (how === "whole" && seconds < SLOW)) return [];
    const unseen =
      notSeen === 0
        ? ""
        : `; at most ${formatCount(notSeen)} changes to older rows were not compared one by one`;
    const what =
      how === "recent"
        ? "the rows that came since"
        : how === "counted"
          ? "the number of all rows"
          : "all rows";
    return [`${name}: ${what}, in ${formatDuration(seconds)}${unseen}`];
  });

/** Seconds. */
const SLOW = 1;
