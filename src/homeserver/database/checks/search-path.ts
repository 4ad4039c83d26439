import { MigrationError, reasonOf } from "../../../errors.ts";
import type { Postgres, PostgresAddress, PostgresSession } from "../../../system/postgres/postgres.ts";
import { USER_SCHEMAS } from "../user-schemas.ts";

/** An object that is computed while a dump is restored, and calls a function that then fails. */
export interface FailingCaller {
  /** Its catalogue, as a regclass reads it. */
  readonly catalogue: string;
  readonly oid: number;
  /** The server's message: which name it did not find. */
  readonly why: string;
}

/**
 * Finds materialized views, indexes, CHECK constraints and generated columns whose functions find nothing by unqualified
 * names: a dump is restored with an empty search_path (CVE-2018-1058). Only those are asked that depend on a function
 * with a text as its body and without a search_path of its own. Each is computed once for some rows, with an empty search_path and in a
 * read-only transaction with a time limit, on a connection of its own. One that takes longer is not reported.
 */
export async function failingCallers(
  session: PostgresSession,
  address: PostgresAddress,
  postgres: Postgres,
): Promise<FailingCaller[]> {
  const callers = await session.all<Caller>(CALLERS, { search_path: "" });
  const failing: FailingCaller[] = [];
  for (const { catalogue, oid, query } of callers) {
    const why = await failureOf(query, address, postgres);
    if (why !== undefined) failing.push({ catalogue, oid, why });
  }
  return failing;
}

interface Caller {
  readonly catalogue: string;
  readonly oid: number;
  readonly query: string;
}

/** Undefined when it works, or when it fails for another reason. */
async function failureOf(
  query: string,
  address: PostgresAddress,
  postgres: Postgres,
): Promise<string | undefined> {
  const session = await postgres.connect(address, { responseTimeout: 2 * TIME_LIMIT });
  try {
    await session.all(query, { search_path: "", statement_timeout: String(TIME_LIMIT) });
    return undefined;
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const refusal = reasonOf(error, "sqlstate");
    return refusal && NAME_NOT_FOUND.includes(refusal.code) ? refusal.message : undefined;
  } finally {
    await session.close();
  }
}

/** Milliseconds. */
const TIME_LIMIT = 5_000;

/** undefined_table, undefined_function, undefined_object (a type), invalid_schema_name. */
const NAME_NOT_FOUND = ["42P01", "42883", "42704", "3F000"];

/** Rows for which an expression is computed. */
const ROWS = 200;

/** What depends on such functions, directly or through views and other functions; and the query that computes it. */
const CALLERS = `
  WITH RECURSIVE found AS (
    SELECT 'pg_proc'::regclass AS classid, p.oid AS objid
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE ${USER_SCHEMAS} AND l.lanname NOT IN ('c', 'internal') AND to_jsonb(p) ->> 'prosqlbody' IS NULL
      AND NOT EXISTS (SELECT FROM unnest(p.proconfig) setting WHERE setting LIKE 'search\\_path=%')
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
    UNION
    SELECT CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass END, coalesce(r.ev_class, d.objid)
    FROM found f JOIN pg_depend d ON d.refclassid = f.classid AND d.refobjid = f.objid AND d.deptype IN ('n', 'a', 'i')
      LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid AND r.rulename = '_RETURN'
    WHERE NOT (f.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class t WHERE t.oid = f.objid AND t.relkind IN ('r', 'p')))
  ), computed AS (
    SELECT 'pg_class' AS catalogue, i.indexrelid AS oid, i.indrelid AS relation,
      (SELECT string_agg('(' || pg_get_indexdef(i.indexrelid, k, true) || ')', ', ') FROM generate_series(1, i.indnatts) k) AS expressions,
      pg_get_expr(i.indpred, i.indrelid) AS predicate
    FROM found f JOIN pg_index i ON f.classid = 'pg_class'::regclass AND i.indexrelid = f.objid
    UNION ALL
    SELECT 'pg_constraint', k.oid, k.conrelid, pg_get_expr(k.conbin, k.conrelid), NULL
    FROM found f JOIN pg_constraint k ON f.classid = 'pg_constraint'::regclass AND k.oid = f.objid AND k.contype = 'c' AND k.conrelid <> 0
    UNION ALL
    SELECT 'pg_attrdef', a.oid, a.adrelid, pg_get_expr(a.adbin, a.adrelid), NULL
    FROM found f JOIN pg_attrdef a ON f.classid = 'pg_attrdef'::regclass AND a.oid = f.objid
      JOIN pg_attribute c ON c.attrelid = a.adrelid AND c.attnum = a.adnum AND to_jsonb(c) ->> 'attgenerated' = 's'
  )
  SELECT catalogue, oid::bigint AS oid, format('SELECT count(%s) AS computed FROM (SELECT * FROM ONLY %s LIMIT ${ROWS}) AS sample',
    CASE WHEN predicate IS NULL THEN 'ROW(' || expressions || ')::text' ELSE 'CASE WHEN ' || predicate || ' THEN ROW(' || expressions || ')::text END' END,
    relation::regclass) AS query
  FROM computed
  UNION ALL
  SELECT 'pg_class', c.oid::bigint, format('SELECT count(sample::text) AS computed FROM (SELECT * FROM (%s) AS all_of_it LIMIT ${ROWS}) AS sample', rtrim(pg_get_viewdef(c.oid), ';'))
  FROM found f JOIN pg_class c ON f.classid = 'pg_class'::regclass AND c.oid = f.objid AND c.relkind = 'm' AND c.relispopulated`;
