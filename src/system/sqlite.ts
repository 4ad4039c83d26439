import { setImmediate as nextTurn } from "node:timers/promises";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { MigrationError } from "../errors.ts";
import type { Files } from "./files.ts";
import { gather, only, type QuerySession } from "./query.ts";

/** SQLite databases that are only looked at. */
export interface Sqlite {
  /**
   * Opens a database for reading alone, also while another process writes to it. Neither the file nor its -wal is
   * changed. Throws `file-missing`, `database-unreachable`.
   */
  connect(path: string): Promise<QuerySession>;
}

export function realSqlite(files: Files, signal: AbortSignal): Sqlite {
  return {
    async connect(path) {
      const found = await files.follow(path);
      if (!found) {
        throw new MigrationError("file-missing", `there is no SQLite database at ${path}`, {
          hint: "check the database settings; relative paths start at the folder that the server runs in",
        });
      }
      if (found.kind !== "file") throw unusable(path, `it is a ${found.kind}, not a file`);
      const database = opened(path, await isQuiet(path, files));
      const session = new SqliteSession(database, path, signal);
      try {
        // The header is read now, not at the first question.
        await session.all("PRAGMA schema_version");
      } catch (error) {
        await session.close();
        throw error;
      }
      return session;
    },
  };
}

/** Whether nobody has it open: then it can be read without a lock, and SQLite needs no -shm file beside it. */
async function isQuiet(path: string, files: Files): Promise<boolean> {
  // A -journal is one that a killed program left, or one of a program that writes at this moment.
  const beside = await Promise.all(["-wal", "-shm", "-journal"].map((end) => files.look(`${path}${end}`)));
  return beside.every((entry) => entry === undefined);
}

function opened(path: string, quiet: boolean): DatabaseSync {
  const url = pathToFileURL(path);
  url.search = quiet ? "mode=ro&immutable=1" : "mode=ro";
  try {
    return new DatabaseSync(url, { readOnly: true, timeout: 5000 });
  } catch (error) {
    throw unusable(path, (error as Error).message);
  }
}

/** Rows between two looks at whether the run is to stop. */
const TURN = 2000;

class SqliteSession implements QuerySession {
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
    try {
      const statement = this.#database.prepare(sql);
      // A number that no double has would be an error; as from PostgreSQL it is the nearest one.
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
      throw unusable(this.#path, (error as Error).message);
    }
  }

  all<Row>(sql: string): Promise<Row[]> {
    return gather(this.rows<Row>(sql));
  }

  one<Row>(sql: string): Promise<Row> {
    return only(this.rows<Row>(sql), sql);
  }

  close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
    return Promise.resolve();
  }
}

/** SQLite hands out objects without a prototype. */
function plain(row: Record<string, unknown>): Record<string, unknown> {
  const copy = { ...row };
  for (const key in copy) if (typeof copy[key] === "bigint") copy[key] = Number(copy[key]);
  return copy;
}

const unusable = (path: string, reason: string) =>
  new MigrationError("database-unreachable", `cannot use the SQLite database ${path}: ${reason}`, {
    hint: "check that it is the server's database, and that this account may read it and its -wal and -shm files",
  });
