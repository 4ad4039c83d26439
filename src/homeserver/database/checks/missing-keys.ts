import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import { type QuerySession, quoteIdentifier, quoteLiteral } from "../../../system/query.ts";
import type { Schema } from "../../synapse-versions.ts";
import { NO_INDEX } from "./duplicates.ts";
import { KNOWN_KEYS, type KnownKey } from "./known-keys.ts";
import { KNOWN_SCHEMA } from "./known-tables.ts";

/** The oldest schema for which the list of keys holds (synapse/storage/schema/main/full_schemas/72). */
const OLDEST_SCHEMA = 72;

/** A table of Synapse's that exists: its columns, and the keys that hold in it. */
interface TableKeys {
  readonly table: string;
  readonly columns: readonly string[];
  readonly keys: readonly { readonly columns: readonly string[]; readonly predicate: string | null }[];
  /** Names of all its indexes, whatever they are worth. */
  readonly indexes: readonly string[];
}

/**
 * Finds unique indexes of Synapse's own tables that do not exist; one that is not valid is `indexes-invalid`. With `deep`
 * it also counts the rows that already violate them. Reads the catalogue, and with `deep` each table of a missing one.
 */
export async function missingKeys(
  session: QuerySession,
  { version }: Pick<Schema, "version">,
  { deep }: { readonly deep: boolean },
): Promise<Finding[]> {
  if (version < OLDEST_SCHEMA) return [];
  const tables = new Map((await tablesOf(session)).map((one) => [one.table, one]));
  const updating = tables.has("background_updates") && (await hasBackgroundUpdates(session));
  const missing = KNOWN_KEYS.filter((key) => {
    const found = tables.get(key.table);
    return found && expected(key, found, version, updating) && !found.keys.some((one) => isSame(one, key));
  });
  const [first] = missing;
  if (first === undefined) return [];
  const evidence: string[] = [];
  for (const key of missing) {
    const repair = session.engine === "postgres" ? `; ${statementFor(key, tables.get(key.table)!)}` : "";
    const doubled = deep ? await duplicatesOf(session, key) : 0;
    const rows = doubled === 0 ? "" : `, and ${formatCount(doubled)} of its values occur more than once`;
    evidence.push(`${key.table} (${key.columns.join(", ")})${rows}${repair}`);
  }
  const one = missing.length === 1;
  const newer = version > KNOWN_SCHEMA;
  return [
    {
      id: "unique-indexes-missing",
      level: newer ? "note" : "warning",
      sentence: `${missing.length} unique ${one ? "index" : "indexes"} of Synapse's tables ${one ? "does" : "do"} not exist, and will not on the new host: rows can be written twice, and statements of Synapse that rely on ${one ? "it" : "them"} fail`,
      evidence,
      hint: newer
        ? "the database is from a newer Synapse than this synlift knows: it may do without them"
        : session.engine === "postgres"
          ? "create them before the move, with the statements above; one that fails names rows that exist more than once: delete all but the right one first, with Synapse stopped; --deep counts them"
          : "restore a backup of the file, or ask in Synapse's support room; --deep counts the rows that exist more than once",
    },
  ];
}

async function hasBackgroundUpdates(session: QuerySession): Promise<boolean> {
  const sql = "SELECT count(*) AS pending FROM background_updates";
  return (await session.one<{ pending: number }>(sql)).pending > 0;
}

const expected = (key: KnownKey, { columns }: TableKeys, version: number, updating: boolean) =>
  version >= key.since &&
  !(updating && key.kind === "INDEX") &&
  key.columns.every((column) => columns.includes(column));

function isSame(one: TableKeys["keys"][number], key: KnownKey): boolean {
  return (
    one.predicate === key.predicate &&
    one.columns.length === key.columns.length &&
    key.columns.every((column) => one.columns.includes(column))
  );
}

const NAMES = `(${[...new Set(KNOWN_KEYS.map(({ table }) => table))].map(quoteLiteral).join(", ")})`;

const tablesOf = (session: QuerySession): Promise<TableKeys[]> =>
  session.engine === "postgres" ? session.all<TableKeys>(TABLES_SQL) : sqliteTables(session);

/** As the server finds them: by their names alone. PostgreSQL infers no other index for ON CONFLICT (plancat.c, `infer_arbiter_indexes`). */
const TABLES_SQL = `
  SELECT c.relname AS table,
    (SELECT json_agg(attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns,
    (SELECT coalesce(json_agg(json_build_object('predicate', pg_get_expr(i.indpred, i.indrelid), 'columns',
        (SELECT json_agg(a.attname) FROM unnest(i.indkey[0:coalesce((to_jsonb(i) ->> 'indnkeyatts')::int, i.indnatts) - 1]) k JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k))), '[]')
      FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indexprs IS NULL) AS keys,
    (SELECT coalesce(json_agg(x.relname), '[]') FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid) AS indexes
  FROM pg_class c WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND c.relname IN ${NAMES}`;

/** SQLite's full-text tables have none, and the number of a row is a key without an index. */
async function sqliteTables(session: QuerySession): Promise<TableKeys[]> {
  const found = await session.all<Record<"table" | "columns" | "primary" | "keys", string>>(`
    SELECT lower(m.name) AS "table",
      (SELECT json_group_array(lower(name)) FROM pragma_table_info(m.name)) AS columns,
      (SELECT json_group_array(lower(name)) FROM pragma_table_info(m.name) WHERE pk > 0) AS "primary",
      (SELECT json_group_array(json_object('partial', l.partial, 'columns',
         (SELECT json_group_array(lower(i.name)) FROM pragma_index_info(l.name) i))) FROM pragma_index_list(m.name) l WHERE l."unique") AS keys
    FROM sqlite_schema m WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%' AND lower(m.name) IN ${NAMES}`);
  return found.map((row) => {
    const indexes = JSON.parse(row.keys) as { partial: number; columns: string }[];
    const predicate = KNOWN_KEYS.find((one) => one.table === row.table && one.predicate !== null)?.predicate;
    const keys = indexes.map(({ partial, columns }) => ({
      columns: (typeof columns === "string" ? JSON.parse(columns) : columns) as string[],
      predicate: partial === 1 ? (predicate ?? "") : null,
    }));
    const primary = JSON.parse(row.primary) as string[];
    return {
      table: row.table,
      columns: JSON.parse(row.columns) as string[],
      keys: [...keys, { columns: primary, predicate: null }],
      indexes: [],
    };
  });
}

/** Makes the key without keeping anybody from writing, under the name that later versions of Synapse look for. */
function statementFor({ table, name, kind, columns, predicate }: KnownKey, { indexes }: TableKeys): string {
  const [on, called] = [quoteIdentifier(table), quoteIdentifier(name)];
  const remove = indexes.includes(name) ? `DROP INDEX CONCURRENTLY ${called}; ` : "";
  const where = predicate === null ? "" : ` WHERE ${predicate}`;
  const create = `CREATE UNIQUE INDEX CONCURRENTLY ${called} ON ${on} (${columns.map(quoteIdentifier).join(", ")})${where};`;
  const constrain =
    kind === "INDEX" ? "" : ` ALTER TABLE ${on} ADD CONSTRAINT ${called} ${kind} USING INDEX ${called};`;
  return `${remove}${create}${constrain}`;
}

async function duplicatesOf(session: QuerySession, { table, columns, predicate }: KnownKey): Promise<number> {
  const names = columns.map(quoteIdentifier);
  const conditions = [
    ...names.map((name) => `${name} IS NOT NULL`),
    ...(predicate === null ? [] : [predicate]),
  ];
  const sql = `SELECT count(*) AS doubled FROM (SELECT 1 FROM ${quoteIdentifier(table)} WHERE ${conditions.join(" AND ")} GROUP BY ${names.join(", ")} HAVING count(*) > 1) AS d`;
  return (await session.one<{ doubled: number }>(sql, NO_INDEX)).doubled;
}
