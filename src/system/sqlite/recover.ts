import * as fs from "node:fs/promises";
import { MigrationError } from "../../errors.ts";
import { errnoOf, toFileError } from "../files/file-errors.ts";
import { databaseError, openDatabase } from "./session.ts";

/** SQLite result codes: the file, its folder or its side files cannot be written. */
const READONLY = 8;
const CANTOPEN = 14;

/**
 * See `Sqlite.recover`. `path` must not contain symbolic links; `hasChangesBeside` tells whether a side file may have
 * changes that are not in the file.
 */
export async function recoverDatabase(
  path: string,
  hasChangesBeside: () => Promise<boolean>,
): Promise<boolean> {
  if (!(await hasChangesBeside())) return true;
  if (!(await isWritable(path))) return false;
  assertIntactWithSideFiles(path);
  const database = openDatabase(path, "change");
  try {
    // Beginning to write rolls back an interrupted transaction. Closing the last connection deletes an empty -wal.
    database.exec("PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT");
    const { busy } = database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get() as { busy: number };
    if (busy !== 0) throw databaseError(path, "another process is using it");
  } catch (error) {
    if (isNotWritable(error)) return false;
    throw error instanceof MigrationError ? error : databaseError(path, error);
  } finally {
    database.close();
  }
  return !(await hasChangesBeside());
}

/** SQLite opens a file that it may not write to for reading, and does not say so. No session may be open in this process. */
async function isWritable(path: string): Promise<boolean> {
  try {
    await (await fs.open(path, "r+")).close();
    return true;
  } catch (error) {
    if (["EACCES", "EPERM", "EROFS"].includes(errnoOf(error) ?? "")) return false;
    throw toFileError(error, "open", path);
  }
}

/**
 * A -wal does not say to which file it belongs, and merging that of another file cannot be undone. So the two are checked
 * together before, through a connection that writes to neither. An interrupted transaction hides behind its -journal until
 * a writer rolls it back: then there is nothing to check.
 */
function assertIntactWithSideFiles(path: string): void {
  const database = openDatabase(path, "shared");
  try {
    const lines = database.prepare("PRAGMA quick_check(3)").all().flatMap(Object.values);
    if (lines.join() !== "ok") throw damaged(path, lines.join("; "));
  } catch (error) {
    if (isNotWritable(error)) return;
    throw error instanceof MigrationError ? error : damaged(path, (error as Error).message);
  } finally {
    database.close();
  }
}

const isNotWritable = (error: unknown) => {
  const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff;
  return code === READONLY || code === CANTOPEN;
};

/** SQLite's messages name pages, tables and indexes, and never a value from a row. */
const damaged = (path: string, reason: string) =>
  new MigrationError(
    "database-unreachable",
    `SQLite finds damage in ${path} together with the files beside it, which were not merged into it: ${reason}`,
    {
      hint: `nothing was changed. If ${path}-wal is of another database, for example because ${path} was restored from a backup, move it away; otherwise repair the database; then run the same command again`,
    },
  );
