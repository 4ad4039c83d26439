import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import type { PostgresSession } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import { USER_SCHEMAS } from "../user-schemas.ts";

interface UniqueIndex {
  readonly name: string;
  readonly table: string;
  /** As an expression list. */
  readonly columns: string;
  readonly predicate: string | null;
  readonly nullsCount: boolean;
  /** Rows of the table, by the planner's estimate. */
  readonly rows: number;
}

/**
 * Finds rows that violate a unique index. An index on text whose collation changed lets them in and
 * hides them afterwards, so every index is left out of the reading; a dump restores the rows and then cannot make the
 * index. Reads every table once for each of its unique indexes, but for those
 * that are known to be `broken`: the first failure ends a session.
 */
export async function duplicateRows(
  session: PostgresSession,
  broken: readonly string[],
  progress: Progress,
): Promise<Finding[]> {
  const all = await session.all<UniqueIndex>(UNIQUE_INDEXES);
  const indexes = all.filter(({ table }) => !broken.includes(table));
  const id = "plan/duplicates";
  const total = indexes.reduce((sum, { rows }) => sum + rows, 0);
  progress.begin({ id, label: "duplicates", unit: "rows", total });
  const evidence: string[] = [];
  for (const index of indexes) {
    const { groups } = await session.one<{ groups: number }>(countOf(index), NO_INDEX);
    if (groups > 0)
      evidence.push(
        `${index.table}: ${formatCount(groups)} duplicate values in the unique index ${index.name}`,
      );
    progress.advance(id, index.rows);
  }
  progress.end(id);
  if (evidence.length === 0) {
    return [
      {
        id: "duplicate-rows",
        level: "ok",
        sentence: `none of the ${indexes.length} unique indexes hides duplicates`,
      },
    ];
  }
  return [
    {
      id: "duplicate-rows",
      level: "blocker",
      sentence: "corrupt indexes hide duplicate rows: a restore would fail when it creates these indexes",
      evidence,
      hint: "find them with index scans switched off (SET enable_indexscan = off), stop Synapse, delete the wrong row of each pair, then REINDEX; ask in Synapse's support room if unsure which one is wrong",
    },
  ];
}

/** Settings for a query that is to read tables themselves: an index may have lost entries. */
export const NO_INDEX = { enable_indexscan: "off", enable_indexonlyscan: "off", enable_bitmapscan: "off" };

const UNIQUE_INDEXES = `
  SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS table,
    (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' ORDER BY k) FROM generate_series(1, coalesce((to_jsonb(i) ->> 'indnkeyatts')::int, i.indnatts)) k) AS columns,
    pg_get_expr(i.indpred, i.indrelid) AS predicate, coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, FALSE) AS "nullsCount",
    greatest(c.reltuples, 0)::bigint AS rows
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE i.indisunique AND c.relkind = 'r' AND ${USER_SCHEMAS}
    AND has_table_privilege(c.oid, 'SELECT')
  ORDER BY c.reltuples, 1`;

/** NULLs are no duplicates of each other, unless the index says so. */
function countOf({ table, columns, predicate, nullsCount }: UniqueIndex): string {
  const conditions = [
    ...(predicate === null ? [] : [`(${predicate})`]),
    ...(nullsCount ? [] : [`ROW(${columns}) IS NOT NULL`]),
  ];
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
  return `SELECT count(*) AS groups FROM (SELECT FROM ${table} ${where} GROUP BY ${columns} HAVING count(*) > 1) AS doubled`;
}
