/** One connection to a database, to ask it questions. Statements run one after another. */
export interface QuerySession {
  readonly engine: "postgres" | "sqlite";
  /**
   * Each row as an object of its columns. Memory stays flat. PostgreSQL's values come as JSON has them: cast what does
   * not fit a double to text. SQLite has 0 and 1 for booleans.
   */
  rows<Row>(sql: string): AsyncIterable<Row>;
  all<Row>(sql: string): Promise<Row[]>;
  /** The only row. */
  one<Row>(sql: string): Promise<Row>;
  /** From here on every answer is of one state of the database. Nothing can be written any more. Called once. */
  beginReading(): Promise<void>;
  /** May be called twice. */
  close(): Promise<void>;
}

/** All rows of an answer; for answers that are known to be small. */
export async function gather<Row>(rows: AsyncIterable<Row>): Promise<Row[]> {
  const found: Row[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

/** The only row of an answer. */
export async function only<Row>(rows: AsyncIterable<Row>, sql: string): Promise<Row> {
  const [row, ...more] = await gather(rows);
  if (row === undefined || more.length > 0) throw new Error(`expected one row from: ${sql}`);
  return row;
}

export const sqlText = (text: string) => `'${text.replaceAll("'", "''")}'`;
export const sqlName = (name: string) => `"${name.replaceAll('"', '""')}"`;
