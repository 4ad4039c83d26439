import { type QuerySession, quoteIdentifier } from "../../../../system/query.ts";
import { USER_SCHEMAS } from "../../user-schemas.ts";
import { keyOf, quoteTable, type TableName } from "./tables.ts";

/** A change of the old database's schema that logical replication did not carry. */
export interface SchemaChange {
  /** "stops": rows of that table can no longer be applied. "lacks": rows or an object are missing in the new database. "harmless": nothing is lost. */
  readonly effect: "stops" | "lacks" | "harmless";
  /** "public.events: column new_column is missing in the new database" */
  readonly sentence: string;
  /** The statement that would make both sides equal again, for the new database; undefined where the copy has to be begun again. */
  readonly statement: string | undefined;
}

interface Column extends TableName {
  readonly column: string;
  readonly type: string;
  readonly required: boolean;
}

interface Index extends TableName {
  readonly index: string;
  readonly definition: string;
}

interface Schema {
  readonly tables: readonly TableName[];
  readonly columns: readonly Column[];
  readonly indexes: readonly Index[];
}

/** What both catalogues say of tables, columns and indexes. Reads only. */
async function readSchema(session: QuerySession): Promise<Schema> {
  const tables = await session.all<TableName>(`
    SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND ${USER_SCHEMAS} AND ${NOT_OF_EXTENSION} ORDER BY 1, 2`);
  const columns = await session.all<Column>(`
    SELECT n.nspname AS schema, c.relname AS name, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
      a.attnotnull AND NOT a.atthasdef AS required
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND ${USER_SCHEMAS} AND ${NOT_OF_EXTENSION} ORDER BY 1, 2, a.attnum`);
  const indexes = await session.all<Index>(`
    SELECT n.nspname AS schema, c.relname AS name, x.relname AS index, pg_get_indexdef(i.indexrelid) AS definition
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND i.indisvalid AND ${USER_SCHEMAS} AND ${NOT_OF_EXTENSION} ORDER BY 1, 2, 3`);
  return { tables, columns, indexes };
}

const NOT_OF_EXTENSION =
  "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

/**
 * What has changed in the old database's schema since it was copied, by comparing the catalogues of both sides: an update of
 * Synapse, or a background update that made an index. Reads only.
 */
export async function schemaChanges(source: QuerySession, target: QuerySession): Promise<SchemaChange[]> {
  return compareSchemas(await readSchema(source), await readSchema(target));
}

export function compareSchemas(there: Schema, here: Schema): SchemaChange[] {
  const [tablesThere, tablesHere] = [byKey(there.tables, keyOf), byKey(here.tables, keyOf)];
  const both = (table: TableName) => tablesThere.has(keyOf(table)) && tablesHere.has(keyOf(table));
  const [columnsThere, columnsHere] = [
    byKey(there.columns.filter(both), columnKey),
    byKey(here.columns.filter(both), columnKey),
  ];
  const [indexesThere, indexesHere] = [
    byKey(there.indexes.filter(both), indexKey),
    byKey(here.indexes.filter(both), indexKey),
  ];
  return [
    ...missing(tablesThere, tablesHere).map((table) => ({
      effect: "lacks" as const,
      sentence: `table ${keyOf(table)} was made in the old database, and is not in the new one`,
      statement: undefined,
    })),
    ...missing(tablesHere, tablesThere).map((table) => ({
      effect: "harmless" as const,
      sentence: `table ${keyOf(table)} was dropped in the old database`,
      statement: `DROP TABLE ${quoteTable(table)};`,
    })),
    ...missing(columnsThere, columnsHere).map((one) => ({
      effect: "stops" as const,
      sentence: `column ${one.column} of table ${keyOf(one)} was made in the old database, and is not in the new one`,
      statement: `ALTER TABLE ${quoteTable(one)} ADD COLUMN ${quoteIdentifier(one.column)} ${one.type};`,
    })),
    ...missing(columnsHere, columnsThere).map((one) => ({
      effect: one.required ? ("stops" as const) : ("harmless" as const),
      sentence: `column ${one.column} of table ${keyOf(one)} was dropped in the old database`,
      statement: `ALTER TABLE ${quoteTable(one)} DROP COLUMN ${quoteIdentifier(one.column)};`,
    })),
    ...[...columnsThere].flatMap(([key, one]) => {
      const other = columnsHere.get(key);
      if (!other || other.type === one.type) return [];
      return [
        {
          effect: "stops" as const,
          sentence: `column ${one.column} of table ${keyOf(one)} is ${one.type} in the old database, and ${other.type} in the new one`,
          statement: `ALTER TABLE ${quoteTable(one)} ALTER COLUMN ${quoteIdentifier(one.column)} TYPE ${one.type};`,
        },
      ];
    }),
    ...missing(indexesThere, indexesHere).map((one) => ({
      effect: "lacks" as const,
      sentence: `index ${one.index} of table ${keyOf(one)} was made in the old database, and is not in the new one`,
      statement: `${one.definition};`,
    })),
    ...missing(indexesHere, indexesThere).map((one) => ({
      effect: "harmless" as const,
      sentence: `index ${one.index} of table ${keyOf(one)} was dropped in the old database`,
      statement: `DROP INDEX ${quoteIdentifier(one.schema)}.${quoteIdentifier(one.index)};`,
    })),
  ];
}

const columnKey = (one: Column) => `${keyOf(one)}\0${one.column}`;
const indexKey = (one: Index) => `${keyOf(one)}\0${one.index}`;

const byKey = <Item>(items: readonly Item[], key: (item: Item) => string) =>
  new Map(items.map((item) => [key(item), item]));

/** Those of the first that the second does not have. */
const missing = <Item>(wanted: ReadonlyMap<string, Item>, there: ReadonlyMap<string, Item>) =>
  [...wanted].flatMap(([key, item]) => (there.has(key) ? [] : [item]));
