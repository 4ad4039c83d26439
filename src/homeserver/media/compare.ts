import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Files } from "../../system/files.ts";
import type { PostgresSession } from "../../system/postgres.ts";
import { uploadPath } from "./layout.ts";
import type { Differing } from "./section.ts";

export interface Comparison {
  readonly rows: number;
  readonly bytes: number;
  readonly differing: readonly Differing[];
  /** Uploads of the right size whose hash is not the one in their row; only looked for when asked. */
  readonly changed: readonly string[];
  /** Files whose hash was compared. */
  readonly hashed: number;
}

interface Row {
  readonly id: string;
  readonly length: number;
  readonly sha256: string | null;
}

/**
 * Rows of local uploads against files. A row without a length is an id that was reserved and never used; rows of URL
 * previews have their files elsewhere (synapse/storage/databases/main/media_repository.py). Memory does not grow with the rows.
 */
export async function compareMedia(
  session: PostgresSession,
  store: string,
  files: Files,
  { hashes, tell }: { hashes: boolean; tell: (bytes: number) => void },
): Promise<Comparison> {
  // Hashes are kept since schema 91.
  const { known } = await session.one<{ known: boolean }>(`
    SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'local_media_repository'::regclass AND attname = 'sha256') AS known`);
  const query = `
    SELECT media_id AS id, media_length AS length, ${known ? "sha256" : "NULL"} AS sha256 FROM local_media_repository
    WHERE url_cache IS NULL AND media_length IS NOT NULL ORDER BY media_id`;
  const differing: Differing[] = [];
  const changed: string[] = [];
  let rows = 0;
  let bytes = 0;
  let hashed = 0;
  for await (const { id, length, sha256 } of session.rows<Row>(query)) {
    rows += 1;
    bytes += length;
    const path = uploadPath(id);
    const entry = path === undefined ? undefined : await files.look(join(store, path));
    if (entry?.kind !== "file" || entry.size !== length) {
      differing.push({ mediaId: id, expected: length, found: entry?.kind === "file" ? entry.size : null });
    } else if (hashes && sha256 !== null) {
      hashed += 1;
      if ((await hashOf(join(store, path!), files)) !== sha256) changed.push(id);
    }
    tell(length);
  }
  return { rows, bytes, differing, changed, hashed };
}

async function hashOf(path: string, files: Files): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of files.read(path)) hash.update(chunk);
  return hash.digest("hex");
}

/** For people: "AbCd…: 4000 bytes by its row, no file". */
export const describeDiffering = ({ mediaId, expected, found }: Differing) =>
  `${mediaId}: ${expected} bytes by its row, ${found === null ? "no file" : `${found} on disk`}`;
