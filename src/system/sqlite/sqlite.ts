import { MigrationError } from "../../errors.ts";
import type { Files } from "../files/files.ts";
import type { QuerySession } from "../query.ts";
import { openDatabase, SqliteSession, unusable } from "./session.ts";
import { type SqliteSnapshot, takeSnapshot } from "./snapshot.ts";

export type { SqliteSnapshot } from "./snapshot.ts";

/** SQLite databases: looked at, copied while others write, and changed where nobody else is. */
export interface Sqlite {
  /**
   * Opens a database for reading alone, also while another process writes to it. Neither the file nor its -wal is
   * changed. Throws `file-missing`, `database-unreachable`.
   */
  connect(path: string): Promise<QuerySession>;
  /** Holds the database as it is now, to be counted and copied. See `takeSnapshot`. */
  snapshot(path: string): Promise<SqliteSnapshot>;
  /**
   * Runs statements on a database that nobody else uses, all of them or none, and waits until they are on the disk.
   * A change that is cut off leaves a file that is of no use any more; with `mendable`, it leaves a -journal beside it,
   * and the next change takes it back. Throws `database-unreachable`.
   */
  change(path: string, statements: readonly string[], how?: { readonly mendable: boolean }): Promise<void>;
}

/** Files that SQLite keeps beside a database: what is in them belongs to it. */
export const BESIDE = ["-wal", "-shm", "-journal"] as const;

export function realSqlite(files: Files, signal: AbortSignal): Sqlite {
  return {
    async connect(path) {
      const real = await realPath(path, files);
      const database = openDatabase(real, (await isQuiet(real, files)) ? "immutable" : "shared");
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

    async snapshot(path) {
      const real = await realPath(path, files);
      return takeSnapshot(real, { quiet: await isQuiet(real, files), files, signal });
    },

    async change(path, statements, { mendable } = { mendable: false }) {
      const database = openDatabase(await realPath(path, files), "change");
      try {
        // In memory, so that no other file appears beside it.
        database.exec(`PRAGMA journal_mode = ${mendable ? "DELETE" : "MEMORY"}; PRAGMA synchronous = FULL`);
        database.exec("BEGIN IMMEDIATE");
        for (const statement of statements) database.exec(statement);
        database.exec("COMMIT");
      } catch (error) {
        throw unusable(path, error);
      } finally {
        database.close();
      }
    },
  };
}

/** SQLite follows links before it looks beside the file. */
async function realPath(path: string, files: Files): Promise<string> {
  const found = await files.follow(path);
  if (!found) {
    throw new MigrationError("file-missing", `there is no SQLite database at ${path}`, {
      hint: "check the database settings; relative paths start at the folder that the server runs in",
    });
  }
  if (found.kind !== "file")
    throw unusable(path, found.kind === "folder" ? "it is a folder, not a file" : "it is no regular file");
  return files.real(path);
}

/** Whether nobody has it open: then it can be read without a lock, and SQLite needs no -shm file beside it. */
async function isQuiet(path: string, files: Files): Promise<boolean> {
  for (const suffix of BESIDE) if (await files.look(`${path}${suffix}`)) return false;
  return true;
}
