/**
 * One connection to a database for queries. Statements run one after another. After a query that failed, connect again:
 * PostgreSQL's session may have ended with it, and then fails with the same error.
 */
export interface QuerySession {
  readonly engine: "postgres" | "sqlite";
  /**
   * Each row as an object, streamed. PostgreSQL's values are converted through JSON: cast numbers that do not fit a
   * double to text. SQLite has 0 and 1 for booleans. `settings` are PostgreSQL's, for this query alone; SQLite ignores them.
   */
  rows<Row>(sql: string, settings?: QuerySettings): AsyncIterable<Row>;
  all<Row>(sql: string, settings?: QuerySettings): Promise<Row[]>;
  /** The only row. Throws when there is not exactly one. */
  one<Row>(sql: string, settings?: QuerySettings): Promise<Row>;
  /** Begins a read-only transaction: from here on all queries see one snapshot of the database. Call it once. */
  beginSnapshot(): Promise<void>;
  /** May be called twice. */
  close(): Promise<void>;
}

/** Server settings by name, such as `{ jit: "off" }`. */
export type QuerySettings = Readonly<Record<string, string>>;

/** All rows of a result, for small results. */
export async function collectRows<Row>(rows: AsyncIterable<Row>): Promise<Row[]> {
  const found: Row[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

/** The only row of a result. Throws when there is not exactly one. */
export async function singleRow<Row>(rows: AsyncIterable<Row>, sql: string): Promise<Row> {
  const [row, ...more] = await collectRows(rows);
  if (row === undefined || more.length > 0) throw new Error(`expected one row from: ${sql}`);
  return row;
}

export const quoteLiteral = (text: string) => `'${text.replaceAll("'", "''")}'`;
export const quoteIdentifier = (name: string) => `"${name.replaceAll('"', '""')}"`;
