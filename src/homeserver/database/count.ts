import { type QuerySession, quoteIdentifier } from "../../system/query.ts";
import { excludedRows, type Kept, NOTHING_KEPT, ONE_TIME_KEYS } from "../scope.ts";
import type { DatabaseSection } from "./section.ts";
import { SCHEMA_VERSIONS, type Store } from "./store.ts";
import { USER_SCHEMAS } from "./user-schemas.ts";

interface TableName {
  readonly schema: string;
  readonly name: string;
}

/**
 * All tables except those of PostgreSQL and of extensions, in a stable order. Of SQLite's full-text
 * search, the tables that store the index are included and the virtual table is not; the statistics tables of
 * its planner are left out.
 */
export function listTables(session: QuerySession): Promise<TableName[]> {
  return session.all<TableName>(session.engine === "postgres" ? POSTGRES_TABLES : SQLITE_TABLES);
}

const POSTGRES_TABLES = `
    SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND ${USER_SCHEMAS}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2`;

const SQLITE_TABLES = `
    SELECT 'main' AS schema, name FROM sqlite_master
    WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY 2`;

/**
 * Rows per table, counted, not estimated, and never by an index, which may have lost entries that the table still has. Call it
 * within a transaction (`beginSnapshot`).
 */
export async function countRows(session: QuerySession): Promise<Record<string, number>> {
  return withoutIndexes(session, () => countEachTable(session));
}

/** The same of the tables with one-time keys alone. */
export async function countOneTimeKeys(session: QuerySession): Promise<Record<string, number>> {
  return withoutIndexes(session, () => countEachTable(session, ({ name }) => name === ONE_TIME_KEYS));
}

async function countEachTable(
  session: QuerySession,
  isWanted: (table: TableName) => boolean = () => true,
): Promise<Record<string, number>> {
  const rows: Record<string, number> = {};
  for (const { schema, name } of (await listTables(session)).filter(isWanted)) {
    const { count } = await session.one<{ count: number }>(
      `SELECT count(*) AS count FROM ${quoteIdentifier(schema)}.${quoteIdentifier(name)}`,
    );
    rows[`${schema}.${name}`] = count;
  }
  return rows;
}

export async function readSequences(session: QuerySession): Promise<DatabaseSection["sequences"]> {
  const sequences: DatabaseSection["sequences"] = {};
  if (session.engine === "sqlite") {
    // Of columns with AUTOINCREMENT (https://sqlite.org/autoinc.html); the table is there as soon as one is.
    if (!(await hasTable(session, "sqlite_sequence"))) return {};
    const rows = session.rows<{ name: string; last: string }>(
      "SELECT name, CAST(seq AS TEXT) AS last FROM sqlite_sequence ORDER BY 1",
    );
    for await (const { name, last } of rows) sequences[`main.${name}`] = { last, called: true };
    return sequences;
  }
  const names = await session.all<TableName>(`
    SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND ${USER_SCHEMAS} ORDER BY 1, 2`);
  if (names.length === 0) return {};
  // One question for all of them: the server is down meanwhile.
  const values = await session.all<{ at: number; last: string; called: boolean }>(
    names
      .map(
        ({ schema, name }, at) =>
          `SELECT ${at} AS at, last_value::text AS last, is_called AS called FROM ${quoteIdentifier(schema)}.${quoteIdentifier(name)}`,
      )
      .join(" UNION ALL "),
  );
  for (const { at, last, called } of values.toSorted((one, other) => one.at - other.at)) {
    const { schema, name } = names[at]!;
    sequences[`${schema}.${name}`] = { last, called };
  }
  return sequences;
}

async function hasTable(session: QuerySession, name: string): Promise<boolean> {
  return (await listTables(session)).some((table) => table.name === name);
}

/** Backfilled events count downwards and are stored negative (synapse/storage/util/id_generators.py): hence the absolute value. */
export async function readStreams(session: QuerySession): Promise<Record<string, string>> {
  // A state database has no streams.
  if (!(await hasTable(session, "stream_positions"))) return {};
  const rows = await session.all<{ stream: string; position: string }>(
    "SELECT stream_name AS stream, CAST(max(abs(stream_id)) AS TEXT) AS position FROM stream_positions GROUP BY 1 ORDER BY 1",
  );
  return Object.fromEntries(rows.map(({ stream, position }) => [stream, position]));
}

/** Parameters that allow the planner to answer from an index (PostgreSQL documentation, Planner Method Configuration). */
const INDEX_SCANS = ["enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"];

/** Asks something of PostgreSQL with index scans off, within the current transaction. Sets them back for what follows in it. */
async function withoutIndexes<T>(session: QuerySession, ask: () => Promise<T>): Promise<T> {
  if (session.engine === "sqlite") return ask();
  const before = await session.one<Record<string, string>>(
    `SELECT ${INDEX_SCANS.map((name) => `current_setting('${name}') AS ${name}`).join(", ")}`,
  );
  const set = (values: Readonly<Record<string, string>>) =>
    session.one(
      `SELECT ${INDEX_SCANS.map((name) => `set_config('${name}', '${values[name]!}', true) AS ${name}`).join(", ")}`,
    );
  await set(Object.fromEntries(INDEX_SCANS.map((name) => [name, "off"])));
  const result = await ask();
  await set(before);
  return result;
}

/** Everything that the gates compare, counted in the session's snapshot; sequences as they were read before the dump. */
export async function countDatabase(
  session: QuerySession,
  sequences: DatabaseSection["sequences"],
  store: Store = "main",
  kept: Kept = NOTHING_KEPT,
): Promise<DatabaseSection> {
  return withoutIndexes(session, () => countAll(session, sequences, store, kept));
}

async function countAll(
  session: QuerySession,
  sequences: DatabaseSection["sequences"],
  store: Store,
  kept: Kept,
): Promise<DatabaseSection> {
  const { engine } = session;
  const rows = await countEachTable(session);
  const leftOut: Record<string, number> = {};
  const staying: Record<string, number> = {};
  const isMain = store === "main";
  for (const table of Object.keys(rows).filter((name) => isMain && name.endsWith(`.${ONE_TIME_KEYS}`))) {
    // A SQLite file is packed unchanged.
    if (engine === "sqlite") staying[table] = 0;
    else {
      leftOut[table] = rows[table]!;
      rows[table] = 0;
    }
  }
  for (const { table, keep } of isMain ? excludedRows(kept) : []) {
    const { count } = await session.one<{ count: number }>(
      `SELECT count(*) AS count FROM ${table} WHERE ${keep}`,
    );
    staying[await fullName(session, table)] = count;
  }
  const [version, compat] = SCHEMA_VERSIONS[store];
  const { schemaVersion, compatVersion, serverVersion } = await session.one<{
    schemaVersion: number;
    compatVersion: number;
    serverVersion: number;
  }>(`SELECT ${version} AS "schemaVersion", ${compat} AS "compatVersion",
        ${engine === "postgres" ? "current_setting('server_version_num')::int" : "0"} AS "serverVersion"`);
  const streams = await readStreams(session);
  return {
    engine,
    serverVersion,
    rows,
    staying,
    leftOut,
    sequences,
    streams,
    schemaVersion,
    compatVersion,
    ...(isMain ? { kept: { ...kept, origins: [...kept.origins] } } : {}),
  };
}

/** With the schema in which Synapse finds it. */
async function fullName(session: QuerySession, table: string): Promise<string> {
  if (session.engine === "sqlite") return `main.${table}`;
  const { name } = await session.one<{ name: string }>(`
    SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass('${table}')`);
  return name;
}

/**
 * Rows inserted, updated and deleted in each table, by whatever role, since PostgreSQL began to count; and the file of
 * each table, as TRUNCATE deletes rows without counting them. Neither VACUUM nor ANALYZE changes any of this. PostgreSQL
 * counts anew after a crash and after pg_stat_reset(), which looks like a change too.
 */
const TABLE_CHANGES = `
      SELECT n.nspname || '.' || c.relname || '=' || pg_stat_get_tuples_inserted(c.oid) || '/' || pg_stat_get_tuples_updated(c.oid)
        || '/' || pg_stat_get_tuples_deleted(c.oid) || '/' || c.relfilenode AS line
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND ${USER_SCHEMAS}
      UNION ALL SELECT 'reset=' || coalesce(extract(epoch FROM stats_reset)::text, '-') FROM pg_stat_database WHERE datname = current_database()`;

/** Statistics are otherwise read once in a transaction (PostgreSQL documentation, stats_fetch_consistency). */
const READ_AGAIN = "SELECT pg_stat_clear_snapshot()::text AS cleared";

/** Changes whenever anybody writes to the authentication service's database. See `databaseMarker`. */
export async function masMarker(session: QuerySession): Promise<string> {
  await session.one(READ_AGAIN);
  const { marker } = await session.one<{ marker: string }>(`
    SELECT md5(string_agg(line, E'\\n' ORDER BY line)) AS marker FROM (
      ${TABLE_CHANGES}
      UNION ALL SELECT 'schema=' || coalesce(max(version), 0) FROM _sqlx_migrations
    ) AS lines`);
  return marker;
}

/**
 * Changes whenever Synapse or anybody else writes to the database. Cheap, however large the tables are. A session's
 * changes are counted when it ends at the latest; PostgreSQL before 15 shows them up to `STATISTICS_DELAY_MS` later.
 */
export async function databaseMarker(session: QuerySession): Promise<string> {
  const streams = (await hasTable(session, "stream_positions"))
    ? "UNION ALL SELECT stream_name || '/' || instance_name || '=' || stream_id FROM stream_positions"
    : "";
  await session.one(READ_AGAIN);
  const { marker } = await session.one<{ marker: string }>(`
    SELECT md5(string_agg(line, E'\\n' ORDER BY line)) AS marker FROM (
      ${TABLE_CHANGES}
      UNION ALL SELECT schemaname || '.' || sequencename || '=' || coalesce(last_value::text, '-') FROM pg_sequences
      ${streams}
      UNION ALL SELECT 'schema=' || version FROM schema_version
    ) AS lines`);
  return marker;
}

/** Milliseconds after which changes are counted: PGSTAT_STAT_INTERVAL of PostgreSQL before 15, and some more (pgstat.c). */
export const STATISTICS_DELAY_MS = 700;
/** The same for a session that stays connected: PGSTAT_IDLE_INTERVAL of PostgreSQL from 15 on (pgstat.c). */
export const IDLE_STATISTICS_DELAY_MS = 11_000;
