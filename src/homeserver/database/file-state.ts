import type { Files } from "../../system/files/files.ts";
import { BESIDE } from "../../system/sqlite/sqlite.ts";

/** The file, and what holds changes that are not in it yet. */
const HELD = ["", "-wal", "-journal"] as const;

/**
 * The state of a SQLite database: sizes and times of its files. Whoever writes to it changes it, and so does whoever
 * brings a -wal into the file; reading it and closing it to writing do not.
 */
export async function fileMarker(path: string, files: Files): Promise<string> {
  const real = await files.real(path);
  const states: string[] = [];
  for (const suffix of HELD) {
    const found = await files.look(`${real}${suffix}`);
    // A -wal without content is as good as none: it goes when the last one closes the database.
    states.push(found && (suffix === "" || found.size > 0) ? `${found.size}@${found.mtimeMs}` : "-");
  }
  return states.join(" ");
}

/** Bytes of a database with what is not in the file yet, about. */
export async function sqliteBytes(path: string, files: Files): Promise<number> {
  const real = await files.real(path);
  const [file, wal] = [await files.look(real), await files.look(`${real}-wal`)];
  return (file?.size ?? 0) + (wal?.size ?? 0);
}

/** Everything that is, or may become, part of a database at that path. */
export const filesOf = (path: string) => ["", ...BESIDE].map((suffix) => `${path}${suffix}`);
