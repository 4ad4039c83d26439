import { MigrationError } from "../../errors.ts";
import type { Files } from "../files/files.ts";
import type { QuerySession } from "../query.ts";
import { copyDatabase, openUnused, type SqliteImage } from "./image.ts";
import { recoverDatabase } from "./recover.ts";
import { databaseError, openDatabase, SqliteSession } from "./session.ts";

export type { SqliteImage } from "./image.ts";

/** SQLite databases: reading, copying while others write, and changing unused ones. */
export interface Sqlite {
  /**
   * Opens a database read-only, also while another process writes to it. Neither the file nor its -wal is changed.
   * Throws `file-missing`, `database-unreachable`.
   */
  connect(path: string): Promise<QuerySession>;
  /**
   * The file itself as an image, if it is complete without its side files; otherwise undefined. With `live` also
   * undefined when a running server may be using it. See `openUnused`. Changes nothing.
   */
  openUnused(path: string, live: boolean): Promise<SqliteImage | undefined>;
  /**
   * Copies the state at one moment to the new file `target`, also while another process writes, and opens the copy. See
   * `copyDatabase`. `copied` receives the bytes so far. The caller removes `target` and `target`-journal.
   */
  copy(path: string, target: string, copied: (bytes: number, total: number) => void): Promise<SqliteImage>;
  /**
   * Lets SQLite merge what a killed server left in the -wal into the file, or roll back an interrupted transaction from
   * the -journal, as the server would at its next start. False when this account may not write there: then nothing was
   * changed. Does nothing when there is nothing to merge. May be repeated after an interruption.
   * Throws `database-unreachable` when the result would be damaged, as with the -wal of another file, or when another
   * process uses the database: then nothing was changed.
   */
  recover(path: string): Promise<boolean>;
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
  /**
   * Switches auto_vacuum off and writes an unused database anew, which needs as much free space again. If it is
   * interrupted, the file must be discarded. Throws `database-unreachable`.
   */
  rebuild(path: string): Promise<void>;
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

    async openUnused(path, live) {
      return openUnused(await realPath(path, files), live, files, signal);
    },

    async copy(path, target, copied) {
      return copyDatabase(await realPath(path, files), target, { files, signal, copied });
    },

    async recover(path) {
      const real = await realPath(path, files);
      return recoverDatabase(real, () => hasChangesBeside(real, files));
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

    async rebuild(path) {
      const database = openDatabase(await realPath(path, files), "change");
      try {
        // VACUUM changes auto_vacuum only outside WAL mode (sqlite.org/pragma.html, auto_vacuum).
        database.exec("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE");
        database.exec("VACUUM");
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

/** Whether a side file may have changes that are not in the file. */
async function hasChangesBeside(path: string, files: Files): Promise<boolean> {
  for (const suffix of ["-wal", "-journal"]) {
    const found = await files.lstat(`${path}${suffix}`);
    if (found && found.size > 0) return true;
  }
  return false;
}

/** Whether it is not in use: then it can be read without a lock and without a -shm file. */
async function isUnused(path: string, files: Files): Promise<boolean> {
  for (const suffix of SIDE_FILES) if (await files.lstat(`${path}${suffix}`)) return false;
  return true;
}
