import type { Files } from "../../system/files/files.ts";
import { SIDE_FILES } from "../../system/sqlite/sqlite.ts";

/** Suffixes of the database file, and of the files with changes that are not in it yet. */
const STATE_SUFFIXES = ["", "-wal", "-journal"] as const;

/**
 * The state of a SQLite database: sizes and times of its files, and the change counter in its header, because a write may
 * keep both. A write changes it, and so does a checkpoint of the -wal; reading and removing write permissions do not.
 */
export async function fileMarker(path: string, files: Files): Promise<string> {
  const real = await files.real(path);
  const states: string[] = [];
  for (const suffix of STATE_SUFFIXES) {
    const found = await files.lstat(`${real}${suffix}`);
    // An empty -wal counts as none: SQLite deletes it when the last connection closes.
    states.push(found && (suffix === "" || found.size > 0) ? `${found.size}@${found.mtimeMs}` : "-");
  }
  states.push(`#${await changeCounter(real, files)}`);
  return states.join(" ");
}

/** Big-endian at offset 24 (https://sqlite.org/fileformat.html, "File change counter"); 0 for a file without a header. */
async function changeCounter(path: string, files: Files): Promise<number> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of files.read(path, { from: 24, to: 28 })) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  return bytes.length < 4 ? 0 : bytes.readUInt32BE(0);
}

/** Approximate bytes of a database, including its -wal. */
export async function sqliteBytes(path: string, files: Files): Promise<number> {
  const real = await files.real(path);
  const [file, wal] = [await files.lstat(real), await files.lstat(`${real}-wal`)];
  return (file?.size ?? 0) + (wal?.size ?? 0);
}

/** Everything that is, or may become, part of a database at that path. */
export const databaseFiles = (path: string) => ["", ...SIDE_FILES].map((suffix) => `${path}${suffix}`);
