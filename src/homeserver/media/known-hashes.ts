import { sqlText, type QuerySession } from "../../system/query.ts";
import { uploadIdAt, UPLOADS } from "./layout.ts";
import { hasHashes } from "./rows.ts";

/** Files whose rows are asked for at once. */
const AT_ONCE = 500;

/**
 * Joins files with the hashes that their rows have, where they are uploads and Synapse noted one. Some hundred rows at a
 * time: packing takes hours, and for so long no question must stay open in a database that is in use.
 */
export async function* withHashes<File extends { readonly name: string }>(
  stored: AsyncIterable<File>,
  session: QuerySession,
): AsyncIterable<{ readonly file: File; readonly sha256: string | undefined }> {
  const known = await hasHashes(session, "local_media_repository");
  let batch: File[] = [];
  for await (const file of stored) {
    batch.push(file);
    if (batch.length < AT_ONCE) continue;
    yield* joined(batch, known, session);
    batch = [];
  }
  yield* joined(batch, known, session);
}

async function* joined<File extends { readonly name: string }>(
  batch: readonly File[],
  known: boolean,
  session: QuerySession,
): AsyncIterable<{ readonly file: File; readonly sha256: string | undefined }> {
  const ids = known ? batch.flatMap(({ name }) => idOf(name) ?? []) : [];
  const rows =
    ids.length === 0
      ? []
      : await session.all<{ id: string; sha256: string }>(`
      SELECT media_id AS id, sha256 FROM local_media_repository
      WHERE sha256 IS NOT NULL AND url_cache IS NULL AND media_id IN (${ids.map(sqlText).join(", ")})`);
  const hashes = new Map(rows.map(({ id, sha256 }) => [id, sha256.toLowerCase()]));
  for (const file of batch) yield { file, sha256: hashes.get(idOf(file.name) ?? "") };
}

/** The id of the upload whose file has that name below the store. */
export const idOf = (name: string) =>
  name.startsWith(`${UPLOADS}/`) ? uploadIdAt(name.slice(UPLOADS.length + 1)) : undefined;
