import { join } from "node:path";
import type { Files } from "../../../system/files/files.ts";
import { type QuerySession, quoteLiteral } from "../../../system/query.ts";
import { uploadIdAt, uploadPath, UPLOADS } from "../store/layout.ts";

/** So many are remembered and looked at again; of more, only number and size are known. */
const REMEMBERED = 10_000;

/** Mismatches of the first comparison: an upload without its file, or a file without an upload. */
export class Mismatches {
  readonly first: Mismatch[] = [];
  /** Those that are not remembered. */
  readonly rest = { files: 0, bytes: 0 };

  addUpload(id: string): void {
    this.#add({ id, path: uploadPath(id) }, 0);
  }

  /** `name` is below local_content; it may be no upload's at all. */
  addFile(name: string, bytes: number): void {
    this.#add({ id: uploadIdAt(name), path: `${UPLOADS}/${name}` }, bytes);
  }

  #add(one: Mismatch, bytes: number): void {
    if (this.first.length < REMEMBERED) this.first.push(one);
    else {
      this.rest.files += 1;
      this.rest.bytes += bytes;
    }
  }
}

interface Mismatch {
  /** Undefined where no upload can have its file. */
  readonly id: string | undefined;
  /** Below the store; undefined when no file can have that id. */
  readonly path: string | undefined;
}

/** An upload as it is at the second look. */
export interface CheckedMismatch extends Mismatch {
  readonly verdict: "fits" | "missing" | "differing" | "unknown";
  /** Bytes by its row. */
  readonly expected: number | null;
  /** Bytes on disk. */
  readonly found: number | null;
  readonly uploader: string | null;
  /** Milliseconds since 1970. */
  readonly created: number | null;
  /** What it was shown as, where that was asked and is known: "the picture of !room:example.org". */
  readonly usedAs?: string | undefined;
}

interface MismatchRow {
  readonly id: string;
  readonly length: number | null;
  readonly uploader: string | null;
  readonly created: number | null;
}

/** Rows in one question. */
const AT_ONCE = 500;

/**
 * Looks again, at row and file: with the server running, uploads come and go between the look at the one and the look
 * at the other. Synapse writes a file before its row (synapse/media/media_repository.py, `create_or_update_content`).
 */
export async function recheckMismatches(
  suspects: readonly Mismatch[],
  session: QuerySession,
  store: string,
  files: Files,
): Promise<CheckedMismatch[]> {
  const judged: CheckedMismatch[] = [];
  for (let start = 0; start < suspects.length; start += AT_ONCE) {
    const readUpTo = suspects.slice(start, start + AT_ONCE);
    const ids = readUpTo.flatMap(({ id }) => (id === undefined ? [] : [quoteLiteral(id)]));
    const rows =
      ids.length === 0
        ? []
        : await session.all<MismatchRow>(`
      SELECT media_id AS id, media_length AS length, user_id AS uploader, created_ts AS created
      FROM local_media_repository WHERE url_cache IS NULL AND media_id IN (${ids.join(", ")})`);
    const known = new Map(rows.map((row) => [row.id, row]));
    for (const one of readUpTo) {
      const entry = one.path === undefined ? undefined : await files.lstat(join(store, one.path));
      judged.push(classifyMismatch(one, known.get(one.id ?? ""), entry?.kind === "file" ? entry.size : null));
    }
  }
  return judged;
}

function classifyMismatch(
  suspect: Mismatch,
  row: MismatchRow | undefined,
  found: number | null,
): CheckedMismatch {
  const { length: expected = null, uploader = null, created = null } = row ?? {};
  const seen = { ...suspect, expected, found, uploader, created };
  if (!row) return { ...seen, verdict: found === null ? "fits" : "unknown" };
  // Reserved, and perhaps being written just now.
  if (expected === null) return { ...seen, verdict: "fits" };
  if (found === null) return { ...seen, verdict: "missing" };
  return { ...seen, verdict: found === expected ? "fits" : "differing" };
}
