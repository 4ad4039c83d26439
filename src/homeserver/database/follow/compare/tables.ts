import {
  quoteIdentifier,
  quoteLiteral,
  type QuerySession,
  type QuerySettings,
} from "../../../../system/query.ts";
import { numberedBy, NUMBERED_SEQUENCES } from "../../streams.ts";
import { USER_SCHEMAS } from "../../user-schemas.ts";
import type { Counters, Watermark } from "./comparison.ts";

/** A table that follows the old one. */
export interface Table {
  /** With its schema: "public.events". */
  readonly name: string;
  readonly counters: Counters;
  /** On disk, without its indexes. */
  readonly bytes: number;
  /** How rows that come later can be found by an index; null where no index tells. */
  readonly bound: Pick<Watermark, "by" | "column"> | null;
}

interface Found extends Counters {
  readonly schema: string;
  readonly table: string;
  readonly bytes: number;
  /** Columns that are the first of an index of all rows. */
  readonly leading: readonly { readonly column: string; readonly isNumber: boolean }[];
}

/** How far a database is counted, and since when. */
export interface CountedTables {
  /** As text: PostgreSQL counts anew after a crash and after pg_stat_reset(). */
  readonly since: string;
  /** By name. */
  readonly tables: ReadonlyMap<string, Table>;
}

/**
 * All tables that a standby has, with what was written to each by whatever role: not the unlogged ones, which are empty after
 * a promotion as after a crash. Reads the catalogue only. A session's changes are counted when it ends at the latest.
 */
export async function readTables(session: QuerySession): Promise<CountedTables> {
  await session.one("SELECT pg_stat_clear_snapshot()::text AS cleared");
  const { since } = await session.one<{ since: string }>(
    "SELECT coalesce(extract(epoch FROM stats_reset)::text, '-') AS since FROM pg_stat_database WHERE datname = current_database()",
  );
  const found = await session.all<Found>(`
    SELECT n.nspname AS schema, c.relname AS "table", pg_stat_get_tuples_inserted(c.oid) AS inserted,
      pg_stat_get_tuples_updated(c.oid) AS updated, pg_stat_get_tuples_deleted(c.oid) AS deleted, c.relfilenode::int8 AS file,
      pg_table_size(c.oid) AS bytes,
      (SELECT coalesce(json_agg(json_build_object('column', a.attname, 'isNumber', a.atttypid IN ('int8'::regtype, 'int4'::regtype))
         ORDER BY i.indisunique DESC, i.indnatts, a.attnum), '[]')
       FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
       WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] > 0 AND m.amname = 'btree') AS leading
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND ${USER_SCHEMAS}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2`);
  const tables = found.map(({ schema, table, inserted, updated, deleted, file, bytes, leading }) => ({
    name: `${schema}.${table}`,
    counters: { inserted, updated, deleted, file },
    bytes,
    bound: boundOf(table, leading),
  }));
  return { since, tables: new Map(tables.map((table) => [table.name, table])) };
}

/** Of one table, now; undefined when it no longer exists. */
export async function readCounters(session: QuerySession, name: string): Promise<Counters | undefined> {
  await session.one("SELECT pg_stat_clear_snapshot()::text AS cleared");
  const [found] = await session.all<Counters>(`
    SELECT pg_stat_get_tuples_inserted(c.oid) AS inserted, pg_stat_get_tuples_updated(c.oid) AS updated,
      pg_stat_get_tuples_deleted(c.oid) AS deleted, c.relfilenode::int8 AS file
    FROM pg_class c WHERE c.oid = to_regclass(${quoteLiteral(quoteTable(name))})`);
  return found;
}

/** Columns in which Synapse stores values that only grow, besides those that its own sequences number. */
const GROWING = new Set([
  "stream_id",
  "stream_ordering",
  "event_stream_ordering",
  "state_group",
  "ordering",
  "origin_chain_id",
]);

/** Of the columns that begin an index, the one whose values grow with each new row. */
function boundOf(table: string, leading: Found["leading"]): Table["bound"] {
  const numbers = leading.filter(({ isNumber }) => isNumber).map(({ column }) => column);
  const numbered =
    numbers.find((column) => isNumbered(table, column)) ?? numbers.find((one) => GROWING.has(one));
  if (numbered !== undefined) return { by: "number", column: numbered };
  if (table !== "events" && leading.some(({ column }) => column === "event_id"))
    return { by: "event", column: "event_id" };
  return numbers[0] === undefined ? null : { by: "number", column: numbers[0] };
}

const isNumbered = (table: string, column: string) =>
  NUMBERED_SEQUENCES.some((sequence) =>
    numberedBy(sequence).columns.some(([one, of]) => one === table && of === column),
  );

export const wasWritten = (before: Counters, now: Counters) =>
  before.inserted !== now.inserted ||
  before.updated !== now.updated ||
  before.deleted !== now.deleted ||
  before.file !== now.file;

function quoteTable(name: string): string {
  const [schema = "", ...table] = name.split(".");
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table.join("."))}`;
}

/** Number and digest of rows, in whatever order they are read. */
export interface RowsSeen {
  readonly rows: number;
  /** As text; empty where only the number was asked for. */
  readonly digest: string;
}

/** The text of a row has to be the same on both sides, whatever is set there. */
const AS_TEXT: QuerySettings = { timezone: "UTC", intervalstyle: "postgres", jit: "off" };

/** The rows of a table for which a condition with `t` is true. The digest is a sum of hashes: PostgreSQL's `hashtextextended`. */
export function seeRows(
  session: QuerySession,
  table: string,
  { where = "true", digest = true }: { readonly where?: string; readonly digest?: boolean } = {},
): Promise<RowsSeen> {
  const sum = digest ? "coalesce(sum(hashtextextended(t::text, 0)), 0)::text" : "''";
  return session.one<RowsSeen>(
    `SELECT count(*) AS rows, ${sum} AS digest FROM ${quoteTable(table)} t WHERE ${where}`,
    AS_TEXT,
  );
}

/** A condition on `t`, which is this table: the rows outside the watermark, found by an index. */
export function recentRows(table: string, { by, column, from, to }: Watermark): string {
  const name = quoteIdentifier(column);
  const [low, high] = [quoteLiteral(from), quoteLiteral(to)];
  if (by === "number") return `(t.${name} > ${high}::int8 OR t.${name} < ${low}::int8)`;
  return `t.${name} IN (SELECT e.event_id FROM ${eventsBeside(table)} e WHERE e.stream_ordering > ${high}::int8 OR e.stream_ordering < ${low}::int8)`;
}

/** The others. NULL counts as one of them. */
export const settledRows = (table: string, watermark: Watermark) =>
  `(${recentRows(table, watermark)}) IS NOT TRUE`;

/** Synapse's own tables are in one schema, which need not be `public`. */
const eventsBeside = (table: string) => quoteTable(`${table.split(".")[0] ?? ""}.events`);

/** Where a table ends now. Null for one without a bound, and for an empty one. */
export async function readWatermark(
  session: QuerySession,
  { name, bound }: Pick<Table, "name" | "bound">,
): Promise<Watermark | null> {
  if (!bound) return null;
  const [table, column] =
    bound.by === "number"
      ? [quoteTable(name), quoteIdentifier(bound.column)]
      : [eventsBeside(name), "stream_ordering"];
  const { from, to } = await session.one<{ from: string | null; to: string | null }>(
    `SELECT min(${column})::text AS "from", max(${column})::text AS "to" FROM ${table}`,
  );
  return from === null || to === null ? null : { ...bound, from, to };
}
