import { quoteIdentifier, quoteLiteral, type QuerySession } from "../../../system/query.ts";
import type { Sqlite } from "../../../system/sqlite/sqlite.ts";
import { listTables } from "../count.ts";
import { findNulBytes, findOrphans, hasNul } from "./inspect.ts";
import { reasonNotCompared } from "./tables.ts";

/** Opens a private copy, reads from it and closes it. */
export async function readCopy<T>(
  path: string,
  sqlite: Pick<Sqlite, "connect">,
  read: (session: QuerySession) => Promise<T>,
): Promise<T> {
  const session = await sqlite.connect(path);
  try {
    return await read(session);
  } finally {
    await session.close();
  }
}

/**
 * Deletes the rows of a private copy whose foreign key refers to nothing, as the key itself would have done, until there
 * are none. Returns how many of each table: rows that refer to deleted ones go with them.
 */
export async function deleteOrphans(path: string, sqlite: Sqlite): Promise<ReadonlyMap<string, number>> {
  const deleted = new Map<string, number>();
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const found = await readCopy(path, sqlite, findOrphans);
    if (found.length === 0) break;
    const statements: string[] = [];
    for (const [table, rows] of Map.groupBy(found, (one) => one.table)) {
      // One row may break several keys.
      const ids = [...new Set(rows.map(({ rowid }) => rowid))];
      deleted.set(table, (deleted.get(table) ?? 0) + ids.length);
      for (let at = 0; at < ids.length; at += CHUNK)
        statements.push(
          `DELETE FROM ${quoteIdentifier(table)} WHERE rowid IN (${ids.slice(at, at + CHUNK).join(", ")})`,
        );
    }
    await sqlite.execute(path, statements);
  }
  return deleted;
}

/** Each round deletes at least one row of each chain of references. */
const MAX_ROUNDS = 100;
const CHUNK = 5000;

/** Replaces each NUL character in a text of a private copy by a space. Returns the texts per table and column. */
export async function replaceNulBytes(path: string, sqlite: Sqlite): Promise<ReadonlyMap<string, number>> {
  const found = await readCopy(path, sqlite, findNulBytes);
  await sqlite.execute(
    path,
    found.map(({ table, column }) => {
      const name = quoteIdentifier(column);
      return `UPDATE ${quoteIdentifier(table)} SET ${name} = ${withoutNul(name)} WHERE ${hasNul(name)}`;
    }),
  );
  return new Map(found.map(({ table, column, rows }) => [`${table}.${column}`, rows]));
}

/** SQLite's functions for texts end at the first NUL (sqlite.org/nulinstr.html), those for blobs do not: one NUL a step. */
const withoutNul = (column: string) => `(
  WITH RECURSIVE pieces(done, rest) AS (
    SELECT x'', CAST(${column} AS BLOB)
    UNION ALL
    SELECT CAST(done || substr(rest, 1, instr(rest, x'00') - 1) || x'20' AS BLOB), substr(rest, instr(rest, x'00') + 1)
    FROM pieces WHERE instr(rest, x'00') > 0)
  SELECT CAST(done || rest AS TEXT) FROM pieces WHERE instr(rest, x'00') = 0)`;

/** A column that refers to a row of its own table, and the values that were taken out of it. */
export interface HeldReferences {
  readonly table: string;
  readonly column: string;
  /** The column that it refers to. */
  readonly key: string;
  /** Key of the row, and the value of its column; both as text. */
  readonly pairs: readonly (readonly [key: string, value: string])[];
}

/**
 * Takes the references of rows to later rows of the same table out of a private copy: of a used refresh token to its
 * successor. The script copies row by row, and PostgreSQL refuses a reference to a row that is not there yet
 * (element-hq/synapse#19148). `putBackStatements` puts them back.
 */
export async function holdSelfReferences(path: string, sqlite: Sqlite): Promise<HeldReferences[]> {
  const held = await readCopy(path, sqlite, findSelfReferences);
  await sqlite.execute(
    path,
    held.map(
      ({ table, column }) =>
        `UPDATE ${quoteIdentifier(table)} SET ${quoteIdentifier(column)} = NULL WHERE ${quoteIdentifier(column)} IS NOT NULL`,
    ),
  );
  return held;
}

async function findSelfReferences(session: QuerySession): Promise<HeldReferences[]> {
  const held: HeldReferences[] = [];
  for (const { name: table } of await listTables(session)) {
    if (reasonNotCompared(table) !== undefined) continue;
    const keys = await session.all<{ column: string; key: string; nullable: number }>(`
      SELECT f."from" AS "column", f."to" AS "key", 1 - i."notnull" AS nullable
      FROM pragma_foreign_key_list(${quoteLiteral(table)}) f JOIN pragma_table_info(${quoteLiteral(table)}) i ON i.name = f."from"
      WHERE f."table" = ${quoteLiteral(table)} AND f."to" IS NOT NULL`);
    for (const { column, key, nullable } of keys) {
      if (!nullable) continue;
      const [name, of] = [quoteIdentifier(column), quoteIdentifier(key)];
      const rows = await session.all<{ key: string; value: string }>(
        `SELECT CAST(${of} AS TEXT) AS "key", CAST(${name} AS TEXT) AS value FROM ${quoteIdentifier(table)} WHERE ${name} IS NOT NULL`,
      );
      if (rows.length > 0)
        held.push({ table, column, key, pairs: rows.map((row) => [row.key, row.value] as const) });
    }
  }
  return held;
}

/** Statements for PostgreSQL that put the references back; the literals get the type of their column. */
export function putBackStatements(held: readonly HeldReferences[]): string[] {
  return held.flatMap(({ table, column, key, pairs }) => {
    const [name, of] = [quoteIdentifier(column), quoteIdentifier(key)];
    return pairs.map(
      ([row, value]) =>
        `UPDATE ${quoteIdentifier(table)} SET ${name} = ${quoteLiteral(value)} WHERE ${of} = ${quoteLiteral(row)};`,
    );
  });
}
