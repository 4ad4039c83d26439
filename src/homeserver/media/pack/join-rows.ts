import { type QuerySession, quoteLiteral } from "../../../system/query.ts";
import { uploadIdAt, UPLOADS } from "../store/layout.ts";
import { columnOrNull } from "../store/rows.ts";

/** Files whose rows are asked for at once. */
const AT_ONCE = 500;

export interface FileWithRow<File> {
  readonly file: File;
  /** Bytes by its row; undefined for what is no upload's. */
  readonly length: number | undefined;
  /** Lower-case hex, where Synapse noted it. */
  readonly sha256: string | undefined;
}

/**
 * Joins files with what their rows say, where they are uploads. Some hundred rows at a time: packing takes hours, and no query should stay open for so long in a database that is in use.
 */
export async function* joinUploadRows<File extends { readonly name: string }>(
  stored: AsyncIterable<File>,
  session: QuerySession,
): AsyncIterable<FileWithRow<File>> {
  const sha256 = await columnOrNull(session, "sha256");
  let batch: File[] = [];
  for await (const file of stored) {
    batch.push(file);
    if (batch.length < AT_ONCE) continue;
    yield* joined(batch, sha256, session);
    batch = [];
  }
  yield* joined(batch, sha256, session);
}

async function* joined<File extends { readonly name: string }>(
  batch: readonly File[],
  sha256: string,
  session: QuerySession,
): AsyncIterable<FileWithRow<File>> {
  const ids = batch.flatMap(({ name }) => uploadIdOf(name) ?? []);
  const rows =
    ids.length === 0
      ? []
      : await session.all<{ id: string; length: number | null; sha256: string | null }>(`
      SELECT media_id AS id, media_length AS length, ${sha256} AS sha256 FROM local_media_repository
      WHERE url_cache IS NULL AND media_id IN (${ids.map(quoteLiteral).join(", ")})`);
  const found = new Map(rows.map((row) => [row.id, row]));
  for (const file of batch) {
    const row = found.get(uploadIdOf(file.name) ?? "");
    yield { file, length: row?.length ?? undefined, sha256: row?.sha256?.toLowerCase() };
  }
}

/** The id of the upload whose file has that name below the store. */
export const uploadIdOf = (name: string) =>
  name.startsWith(`${UPLOADS}/`) ? uploadIdAt(name.slice(UPLOADS.length + 1)) : undefined;
