import { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { MigrationError, type Reason } from "../../errors.ts";
import { collectRows, type QuerySession, singleRow } from "../query.ts";
import { addTime, shortTime } from "../trace/trace.ts";

/** How a file is opened. "immutable" takes no lock and requires that nothing writes to it; the others use SQLite's locking. */
export type Access = "immutable" | "shared" | "change";

/** Opens an existing database file. Throws `database-unreachable`. */
export function openDatabase(path: string, access: Access): DatabaseSync {
  const url = pathToFileURL(path);
  url.search = access === "change" ? "mode=rw" : access === "shared" ? "mode=ro" : "mode=ro&immutable=1";
  try {
    return new DatabaseSync(url, { readOnly: access !== "change", timeout: 5000 });
  } catch (error) {
    throw databaseError(path, error);
  }
}

/** Rows between two checks of the abort signal. */
const TURN = 2000;

export class SqliteSession implements QuerySession {
  readonly engine = "sqlite";
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #signal: AbortSignal;

  constructor(database: DatabaseSync, path: string, signal: AbortSignal) {
    this.#database = database;
    this.#path = path;
    this.#signal = signal;
  }

  async *rows<Row>(sql: string): AsyncIterable<Row> {
    let count = 0;
    const began = shortTime();
    try {
      const statement = this.#database.prepare(sql);
      // A number that does not fit a double would be an error; it is rounded instead, as with PostgreSQL.
      statement.setReadBigInts(true);
      for (const row of statement.iterate()) {
        if (count++ % TURN === 0) {
          await nextTurn();
          this.#signal.throwIfAborted();
        }
        yield plain(row) as Row;
      }
    } catch (error) {
      if (this.#signal.aborted || (error as { code?: string }).code !== "ERR_SQLITE_ERROR") throw error;
      throw databaseError(this.#path, error);
    } finally {
      addTime("statements of SQLite", began);
    }
  }

  all<Row>(sql: string): Promise<Row[]> {
    return collectRows(this.rows<Row>(sql));
  }

  one<Row>(sql: string): Promise<Row> {
    return singleRow(this.rows<Row>(sql), sql);
  }

  async beginSnapshot(): Promise<void> {
    await this.all("BEGIN");
    // The transaction begins with the first page that is read.
    await this.all("SELECT count(*) FROM sqlite_schema");
  }

  close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
    return Promise.resolve();
  }
}

/** node:sqlite returns objects without a prototype. */
function plain(row: Record<string, unknown>): Record<string, unknown> {
  const copy = { ...row };
  for (const key in copy) if (typeof copy[key] === "bigint") copy[key] = Number(copy[key]);
  return copy;
}

/** SQLite result code SQLITE_READONLY_ROLLBACK: a hot journal that only a writer can roll back. */
const READONLY_ROLLBACK = 776;

export function databaseError(path: string, error: unknown): MigrationError {
  if ((error as { errcode?: number }).errcode === READONLY_ROLLBACK) {
    return new MigrationError(
      "database-unreachable",
      `${path} has an interrupted transaction that must be rolled back from ${path}-journal`,
      {
        hint: "start the server and stop it normally, which rolls the transaction back; then run the same command again",
      },
    );
  }
  const reason = typeof error === "string" ? error : (error as Error).message;
  return new MigrationError("database-unreachable", `cannot use the SQLite database ${path}: ${reason}`, {
    hint: "check that it is the server's database, and that this account may read it and its -wal and -shm files",
    reason: typeof error === "string" ? undefined : sqliteReason(error),
  });
}

/** The low byte of an extended result code is the primary result code (sqlite.org/rescode.html). */
function sqliteReason(error: unknown): Reason | undefined {
  const { errcode } = error as { errcode?: number };
  return errcode === undefined ? undefined : { kind: "sqlite", code: errcode & 0xff };
}
