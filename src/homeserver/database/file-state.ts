import type { Files } from "../../system/files/files.ts";
import { SIDE_FILES } from "../../system/sqlite/sqlite.ts";

/** Suffixes of the database file, and of the files with changes that are not in it yet. */
const STATE_SUFFIXES = ["", "-wal", "-journal"] as const;

/**
 * The state of a SQLite database: sizes and times of its files. A write changes it, and so does a
 * checkpoint of the -wal; reading and removing write permissions do not.
 */
export async function fileMarker(path: string, files: Files): Promise<string> {
  const real = await files.real(path);
  const states: string[] = [];
  for (const suffix of STATE_SUFFIXES) {
    const found = await files.lstat(`${real}${suffix}`);
    // An empty -wal counts as none: SQLite deletes it when the last connection closes.
    states.push(found && (suffix === "" || found.size > 0) ? `${found.size}@${found.mtimeMs}` : "-");
  }
  return states.join(" ");
}

/** Approximate bytes of a database, including its -wal. */
export async function sqliteBytes(path: string, files: Files): Promise<number> {
  const real = await files.real(path);
  const [file, wal] = [await files.lstat(real), await files.lstat(`${real}-wal`)];
  return (file?.size ?? 0) + (wal?.size ?? 0);
}

/** Everything that is, or may become, part of a database at that path. */
export const databaseFiles = (path: string) => ["", ...SIDE_FILES].map((suffix) => `${path}${suffix}`);
