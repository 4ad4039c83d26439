import { sqlName, type QuerySession } from "../../system/query.ts";
import { LEFT_BEHIND, ONE_TIME_KEYS } from "../left-behind.ts";
import { OWN_SCHEMAS } from "./own-schemas.ts";
import type { DatabaseSection } from "./section.ts";

interface Named {
  readonly schema: string;
  readonly name: string;
}

/** Tables of people and of Synapse, in a stable order; what belongs to an extension is the extension's. */
export function tables(session: QuerySession): Promise<Named[]> {
  return session.all<Named>(`
    SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND ${OWN_SCHEMAS}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2`);
}

/** Rows per table, counted, not estimated. */
export async function countRows(session: QuerySession): Promise<Record<string, number>> {
  const rows: Record<string, number> = {};
  for (const { schema, name } of await tables(session)) {
    const { count } = await session.one<{ count: number }>(
      `SELECT count(*) AS count FROM ${sqlName(schema)}.${sqlName(name)}`,
    );
    rows[`${schema}.${name}`] = count;
  }
  return rows;
}

export async function readSequences(session: QuerySession): Promise<DatabaseSection["sequences"]> {
  const names = await session.all<Named>(`
    SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND ${OWN_SCHEMAS} ORDER BY 1, 2`);
  const sequences: DatabaseSection["sequences"] = {};
  for (const { schema, name } of names) {
    sequences[`${schema}.${name}`] = await session.one(
      `SELECT last_value::text AS last, is_called AS called FROM ${sqlName(schema)}.${sqlName(name)}`,
    );
  }
  return sequences;
}

/** Backfilled events count downwards and are stored negative (synapse/storage/util/id_generators.py): hence the absolute value. */
export async function readStreams(session: QuerySession): Promise<Record<string, string>> {
  const rows = await session.all<{ stream: string; position: string }>(
    "SELECT stream_name AS stream, max(abs(stream_id))::text AS position FROM stream_positions GROUP BY 1 ORDER BY 1",
  );
  return Object.fromEntries(rows.map(({ stream, position }) => [stream, position]));
}

/** Everything that the gates will compare, in the session's own snapshot; sequences as they were read before the dump. */
export async function countDatabase(
  session: QuerySession,
  sequences: DatabaseSection["sequences"],
): Promise<DatabaseSection> {
  const rows = await countRows(session);
  const leftOut: Record<string, number> = {};
  for (const table of Object.keys(rows).filter((name) => name.endsWith(`.${ONE_TIME_KEYS}`))) {
    leftOut[table] = rows[table]!;
    rows[table] = 0;
  }
  const staying: Record<string, number> = {};
  for (const { table, keep } of LEFT_BEHIND) {
    const { count } = await session.one<{ count: number }>(
      `SELECT count(*) AS count FROM ${table} WHERE ${keep}`,
    );
    const { name } = await session.one<{ name: string }>(`
      SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = to_regclass('${table}')`);
    staying[name] = count;
  }
  const { schemaVersion, compatVersion, serverVersion } = await session.one<{
    schemaVersion: number;
    compatVersion: number;
    serverVersion: number;
  }>(`SELECT (SELECT version FROM schema_version) AS "schemaVersion",
        (SELECT compat_version FROM schema_compat_version) AS "compatVersion",
        current_setting('server_version_num')::int AS "serverVersion"`);
  const streams = await readStreams(session);
  return { serverVersion, rows, staying, leftOut, sequences, streams, schemaVersion, compatVersion };
}

/**
 * Changes whenever Synapse writes anything that matters: nearly all it writes takes an id from a sequence.
 * Cheap, however large the tables are.
 */
export async function databaseMarker(session: QuerySession): Promise<string> {
  const { marker } = await session.one<{ marker: string }>(`
    SELECT md5(string_agg(line, E'\\n' ORDER BY line)) AS marker FROM (
      SELECT schemaname || '.' || sequencename || '=' || coalesce(last_value::text, '-') AS line FROM pg_sequences
      UNION ALL SELECT stream_name || '/' || instance_name || '=' || stream_id FROM stream_positions
      UNION ALL SELECT 'schema=' || version FROM schema_version
    ) AS lines`);
  return marker;
}
