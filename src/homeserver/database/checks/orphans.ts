import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import type { PostgresSession } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import { quoteLiteral } from "../../../system/query.ts";
import { ONE_TIME_KEYS } from "../../scope.ts";
import { USER_SCHEMAS } from "../user-schemas.ts";
import { NO_INDEX } from "./duplicates.ts";

interface ForeignKey {
  readonly name: string;
  readonly table: string;
  readonly parent: string;
  /** Whether the parent is a table without partitions. */
  readonly isPlain: boolean;
  /** Whether the parent's rows are moved. */
  readonly isMoved: boolean;
  /** Conditions on a row `c`, and on a row `p` of the parent. */
  readonly filled: string;
  readonly matches: string;
  /** Rows of the table, by the planner's estimate. */
  readonly rows: number;
}

/**
 * Finds rows that refer to rows which are not there, although a validated foreign key forbids it: a restore of the dump would fail when it
 * creates that key, after all rows are loaded. Such rows come from a disabled trigger, or from session_replication_role. Asks
 * each key once; `thorough` without indexes, otherwise only to confirm what was found with them.
 */
export async function orphanRows(
  session: PostgresSession,
  { thorough, broken = [] }: { readonly thorough: boolean; readonly broken?: readonly string[] },
  progress: Progress,
): Promise<Finding[]> {
  const all = await session.all<ForeignKey>(FOREIGN_KEYS);
  const keys = all.filter(({ table, parent }) => !broken.includes(table) && !broken.includes(parent));
  const id = "plan/foreign-keys";
  progress.begin({
    id,
    label: "foreign keys",
    unit: "rows",
    total: keys.reduce((sum, { rows }) => sum + rows, 0),
  });
  const evidence: string[] = [];
  for (const key of keys) {
    const sql = orphansOf(key);
    let { count } = await session.one<{ count: number }>(sql, thorough ? NO_INDEX : {});
    if (count > 0 && !thorough) ({ count } = await session.one<{ count: number }>(sql, NO_INDEX));
    if (count > 0) evidence.push(describe(key, count));
    progress.advance(id, key.rows);
  }
  progress.end(id);
  if (evidence.length === 0) return [];
  return [
    {
      id: "foreign-key-orphans",
      level: "blocker",
      sentence:
        "rows refer to others that do not exist, against a foreign key: a restore would fail when it creates that key",
      evidence,
      hint: "delete or correct these rows with Synapse stopped; where the key is not one of Synapse's, dropping the constraint will do",
    },
  ];
}

function describe({ name, table, parent, isMoved }: ForeignKey, count: number): string {
  const rows = `${formatCount(count)} ${count === 1 ? "row" : "rows"}`;
  return isMoved
    ? `${table}: ${rows} without their row in ${parent} (foreign key ${name})`
    : `${table}: ${rows} that refer to ${parent}, whose rows are not moved (foreign key ${name})`;
}

/** A key with a NULL in one of its columns refers to nothing (PostgreSQL documentation, CREATE TABLE, MATCH SIMPLE). */
const orphansOf = ({ table, parent, isPlain, isMoved, filled, matches }: ForeignKey) =>
  `SELECT count(*) AS count FROM ONLY ${table} c WHERE ${filled}${
    isMoved ? ` AND NOT EXISTS (SELECT FROM ${isPlain ? "ONLY " : ""}${parent} p WHERE ${matches})` : ""
  }`;

/** A key that is not valid yet is restored as such, and one that is not enforced (from 18 on) checks nothing. */
const FOREIGN_KEYS = `
  SELECT k.conname AS name, k.conrelid::regclass::text AS table, k.confrelid::regclass::text AS parent, p.relkind = 'r' AS "isPlain",
    p.relname <> ${quoteLiteral(ONE_TIME_KEYS)} AS "isMoved", columns.filled, columns.matches, greatest(c.reltuples, 0)::bigint AS rows
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class p ON p.oid = k.confrelid
    CROSS JOIN LATERAL (
      SELECT string_agg(format('c.%I IS NOT NULL', own.attname), ' AND ') AS filled,
        string_agg(format('p.%I = c.%I', other.attname, own.attname), ' AND ') AS matches
      FROM unnest(k.conkey, k.confkey) AS pair (own, other)
        JOIN pg_attribute own ON own.attrelid = k.conrelid AND own.attnum = pair.own
        JOIN pg_attribute other ON other.attrelid = k.confrelid AND other.attnum = pair.other) columns
  WHERE k.contype = 'f' AND k.convalidated AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AND c.relkind = 'r'
    AND ${USER_SCHEMAS} AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(p.oid, 'SELECT')
  ORDER BY c.reltuples, 2, 1`;
