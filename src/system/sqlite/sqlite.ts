import { MigrationError } from "../../errors.ts";
import type { Files } from "../files/files.ts";
import type { QuerySession } from "../query.ts";
import { databaseError, openDatabase, SqliteSession } from "./session.ts";
import { type SqliteSnapshot, takeSnapshot } from "./snapshot.ts";

export type { SqliteSnapshot } from "./snapshot.ts";

/** SQLite databases: reading, copying while others write, and changing unused ones. */
export interface Sqlite {
  /**
   * Opens a database read-only, also while another process writes to it. Neither the file nor its -wal is changed.
   * Throws `file-missing`, `database-unreachable`.
   */
  connect(path: string): Promise<QuerySession>;
  /** A consistent snapshot for counting and copying. See `takeSnapshot`. */
  snapshot(path: string): Promise<SqliteSnapshot>;
  /**
   * Runs statements in one transaction on a database that is not in use, synced to disk. If it is interrupted, the file
   * is corrupt and must be discarded; with `recoverable` it leaves a -journal, and the next change rolls it back.
   * Throws `database-unreachable`.
   */
  execute(
    path: string,
    statements: readonly string[],
    how?: { readonly recoverable: boolean },
  ): Promise<void>;
}

/** Suffixes of the files next to a database that belong to it. */
export const SIDE_FILES = ["-wal", "-shm", "-journal"] as const;

export function realSqlite(files: Files, signal: AbortSignal): Sqlite {
  return {
    async connect(path) {
      const real = await realPath(path, files);
      const database = openDatabase(real, (await isUnused(real, files)) ? "immutable" : "shared");
      const session = new SqliteSession(database, path, signal);
      try {
        // Reads the header now, not with the first query.
        await session.all("PRAGMA schema_version");
      } catch (error) {
        await session.close();
        throw error;
      }
      return session;
    },

    async snapshot(path) {
      const real = await realPath(path, files);
      return takeSnapshot(real, { isUnused: await isUnused(real, files), files, signal });
    },

    async execute(path, statements, { recoverable } = { recoverable: false }) {
      const database = openDatabase(await realPath(path, files), "change");
      try {
        // With the rollback journal in memory, no other file is created.
        database.exec(
          `PRAGMA journal_mode = ${recoverable ? "DELETE" : "MEMORY"}; PRAGMA synchronous = FULL`,
        );
        database.exec("BEGIN IMMEDIATE");
        for (const statement of statements) database.exec(statement);
        database.exec("COMMIT");
      } catch (error) {
        throw databaseError(path, error);
      } finally {
        database.close();
      }
    },
  };
}

/** SQLite resolves symbolic links before it looks for the other files. */
async function realPath(path: string, files: Files): Promise<string> {
  const found = await files.stat(path);
  if (!found) {
    throw new MigrationError("file-missing", `there is no SQLite database at ${path}`, {
      hint: "check the database settings; relative paths are relative to the working directory of the server",
    });
  }
  if (found.kind !== "file")
    throw databaseError(path, found.kind === "folder" ? "it is a directory" : "it is not a regular file");
  return files.real(path);
}

/** Whether it is not in use: then it can be read without a lock and without a -shm file. */
async function isUnused(path: string, files: Files): Promise<boolean> {
  for (const suffix of SIDE_FILES) if (await files.lstat(`${path}${suffix}`)) return false;
  return true;
}
