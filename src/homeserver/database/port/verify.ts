import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import type { QuerySession } from "../../../system/query.ts";
import { countRows } from "../count.ts";
import { isMark } from "../fill/interrupted.ts";
import { EVENT_SEARCH, PROGRESS_TABLE, reasonNotCompared } from "./tables.ts";

/** Rows by the bare name of their table. */
export type TableRows = Readonly<Record<string, number>>;

const bare = (rows: TableRows): TableRows =>
  Object.fromEntries(Object.entries(rows).map(([name, count]) => [name.slice(name.indexOf(".") + 1), count]));

/**
 * Rows of a private copy that must be on PostgreSQL. Of the search index only those whose event exists, as the script
 * joins the two; SQLite counts the rest by its shadow tables, which PostgreSQL does not have.
 */
export async function countForPort(session: QuerySession): Promise<TableRows> {
  const rows = bare(await countRows(session));
  const { count } = await session.one<{ count: number }>(
    `SELECT count(*) AS count FROM ${EVENT_SEARCH} AS s INNER JOIN events AS e USING (event_id, room_id)`,
  );
  return { ...rows, [EVENT_SEARCH]: count };
}

/** Rows of the new database. Begins a snapshot in the session. */
export async function countPorted(session: QuerySession): Promise<TableRows> {
  await session.beginSnapshot();
  const rows = bare(await countRows(session));
  return Object.fromEntries(
    Object.entries(rows).filter(([name]) => !isMark(name) && name !== PROGRESS_TABLE),
  );
}

/** Rows that the script adds or leaves out on purpose, whatever the source has. */
const EXPECTED: TableRows = {
  // One row that says that the directory is not built yet.
  user_directory_stream_pos: 1,
};

/**
 * Compares every table of the source with the new database. A table of the source that the new one does not have is a
 * blocker as soon as it has rows, unless it is in `leftBehind`.
 */
export function comparePorted(
  source: TableRows,
  target: TableRows,
  { leftBehind = () => false }: { readonly leftBehind?: (table: string) => boolean } = {},
): Finding[] {
  const differing: string[] = [];
  const exceptions: string[] = [];
  let compared = 0;
  let total = 0;
  for (const [table, rows] of Object.entries(source).sort(([one], [other]) => (one < other ? -1 : 1))) {
    const reason = reasonNotCompared(table);
    const there = target[table];
    if (reason !== undefined) {
      if (reason === "left empty" && rows > 0) exceptions.push(`${table}: ${formatCount(rows)} rows`);
      continue;
    }
    if (there === undefined && (rows === 0 || leftBehind(table))) {
      if (rows > 0) exceptions.push(`${table}: ${formatCount(rows)} rows, of a table that is not Synapse's`);
      continue;
    }
    compared += 1;
    total += there ?? 0;
    const expected = EXPECTED[table] ?? rows;
    if (there !== expected)
      differing.push(
        `${table}: ${expected} expected, ${there === undefined ? "no such table" : there} found`,
      );
  }
  // Nothing but the script has written there: each row must be of the source.
  for (const [table, rows] of Object.entries(target))
    if (rows > 0 && !(table in source)) differing.push(`${table}: not in SQLite, ${rows} found`);
  if (differing.length > 0)
    return [
      {
        id: "port-rows",
        level: "blocker",
        sentence: `the rows of ${differing.length} of ${compared} tables differ from SQLite`,
        evidence: differing,
      },
    ];
  return [
    {
      id: "port-rows",
      level: "ok",
      sentence: `all ${compared} tables have the rows that they have in SQLite, ${formatCount(total)} in total`,
      evidence: COUNTED.flatMap((table) =>
        target[table] === undefined ? [] : [`${table}: ${formatCount(target[table])}`],
      ),
    },
    ...(exceptions.length === 0
      ? []
      : [
          {
            id: "port-not-copied",
            level: "note" as const,
            sentence:
              "some rows were not copied, on purpose: sessions that last minutes, locks, and the user directory, which Synapse builds again",
            evidence: exceptions,
          },
        ]),
  ];
}

/** Shown also when all is well. */
const COUNTED = ["users", "rooms", "events", "event_json", "state_groups_state", "local_media_repository"];
