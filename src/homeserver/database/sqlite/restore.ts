import { basename, dirname } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { unpackTar } from "../../../pipeline/tar.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Files } from "../../../system/files/files.ts";
import { makeOwnedFolder, type Owner } from "../../../system/files/owned-folder.ts";
import { SIDE_FILES, type Sqlite } from "../../../system/sqlite/sqlite.ts";
import { type Kept, removeExcludedRows } from "../../scope.ts";
import { databaseFiles } from "../file-state.ts";
import { SQLITE_FILE } from "./export.ts";

/** The suffix of the file until it is complete: no server uses a file of that name. */
const RESTORING = ".restoring";

/**
 * Checks whether a database can be restored there. With `begun`, the unfinished file of an earlier run is allowed.
 * Throws `target-not-empty`: also for a -wal, -shm or -journal file, which SQLite would take for this database's own.
 */
export async function inspectSqliteTarget(
  path: string,
  { begun }: { begun: boolean },
  files: Files,
): Promise<void> {
  for (const one of [...databaseFiles(path), ...(begun ? [] : [`${path}${RESTORING}`])]) {
    if (!(await files.lstat(one))) continue;
    throw new MigrationError("target-not-empty", `${one} already exists`, {
      hint:
        one === path
          ? "name a file that does not exist yet; if nothing in this one is needed, remove it with its -wal and -shm"
          : `nothing is overwritten: if this file is not needed, remove it, or name another file than ${path}`,
    });
  }
}

/**
 * Restores into a temporary name, deletes the rows that are not moved, checks the file for damage, and only then
 * renames it. Starts over after an interrupted run. Throws `restore-failed`, `target-not-empty`; then there
 * is nothing at `path`.
 */
export async function restoreSqlite(
  path: string,
  archive: Bytes,
  { sqlite, files, owner, kept }: { sqlite: Sqlite; files: Files; owner: Owner; kept?: Kept | undefined },
): Promise<void> {
  const filling = `${path}${RESTORING}`;
  await inspectSqliteTarget(path, { begun: true }, files);
  await makeOwnedFolder(dirname(path), owner, files);
  for (const suffix of ["", ...SIDE_FILES]) await files.remove(`${filling}${suffix}`);
  await unpackInto(filling, archive, files);
  try {
    await sqlite.execute(filling, removeExcludedRows("sqlite", kept));
    await assertIntact(filling, sqlite);
  } catch (error) {
    await files.remove(filling);
    if (!(error instanceof MigrationError) || error.code !== "database-unreachable") throw error;
    throw damaged(error.message);
  }
  if (owner) await files.setOwner(filling, owner.uid, owner.gid);
  // A file may have been created there meanwhile.
  await inspectSqliteTarget(path, { begun: true }, files);
  await files.rename(filling, path);
  await files.syncFolder(dirname(path));
}

/** The archive is read to its end before the file is finished: only then is it verified. */
async function unpackInto(path: string, archive: Bytes, files: Files): Promise<void> {
  const file = await files.begin(path, 0o600);
  let found = false;
  try {
    for await (const { name, kind, content } of unpackTar(archive)) {
      if (found || kind !== "file" || basename(name) !== SQLITE_FILE) throw unexpectedContent();
      found = true;
      for await (const chunk of content) await file.write(chunk);
    }
    if (!found) throw unexpectedContent();
    await file.finish();
  } finally {
    await file.abandon();
  }
}

async function assertIntact(path: string, sqlite: Sqlite): Promise<void> {
  const session = await sqlite.connect(path);
  try {
    const said = await session.all<{ quick_check: string }>("PRAGMA quick_check(5)");
    const lines = said.map((row) => row.quick_check);
    if (lines.join() !== "ok") throw damaged(lines.join("; "));
  } finally {
    await session.close();
  }
}

/** SQLite's messages name pages, tables and indexes, and never a value from a row. */
const damaged = (reason: string) =>
  new MigrationError("restore-failed", `SQLite finds damage in the restored database: ${reason}`, {
    hint: "the database was damaged on the old host already: synlift plan --deep there shows details; repair it there and export again. Nothing was kept here",
  });

const unexpectedContent = () =>
  new MigrationError(
    "bundle-damaged",
    `the archive of the database holds something other than ${SQLITE_FILE}`,
    {
      hint: "it may have been made or changed by somebody else: ask the person who sent it",
    },
  );
