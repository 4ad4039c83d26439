import { type QuerySession, quoteLiteral } from "../../../system/query.ts";

/** A local upload. */
export interface UploadRow {
  /** Its media id. */
  readonly key: string;
  /** Bytes; null for an id that was reserved and has no file yet, or never will. */
  readonly length: number | null;
  /** Lower-case hex; null where Synapse did not note it, or it was not asked for. */
  readonly sha256: string | null;
  /** Who uploaded it; null where nobody knows, or it was not asked for. */
  readonly uploader: string | null;
}

/** Whether this Synapse's table of local uploads has a column: `sha256` is there since schema 91. */
export async function hasColumn(session: QuerySession, column: string): Promise<boolean> {
  const { known } = await session.one<{ known: number }>(
    session.engine === "postgres"
      ? `SELECT count(*) AS known FROM pg_attribute WHERE attrelid = 'local_media_repository'::regclass AND attname = ${quoteLiteral(column)} AND NOT attisdropped`
      : `SELECT count(*) AS known FROM pragma_table_info('local_media_repository') WHERE name = ${quoteLiteral(column)}`,
  );
  return known > 0;
}

/** The column for a SELECT, or NULL where this Synapse has none of that name. */
export const columnOrNull = async (session: QuerySession, column: string): Promise<string> =>
  (await hasColumn(session, column)) ? column : "NULL";

/** Rows in one question. */
const PAGE = 10_000;

/**
 * Columns of the uploads in the order of their ids, byte by byte, those after `after`. Page by page: packing and reading
 * take hours, and for so long no question must stay open in a database that is in use.
 */
export async function* uploadPages<Row extends { readonly media_id: string }>(
  session: QuerySession,
  columns: string,
  { after = "", where = "TRUE", signal }: { after?: string; where?: string; signal?: AbortSignal } = {},
): AsyncIterable<Row> {
  const id = bytewise(session, "media_id");
  for (;;) {
    const page = await session.all<Row>(`
      SELECT media_id, ${columns} FROM local_media_repository
      WHERE url_cache IS NULL AND ${where} AND ${id} > ${quoteLiteral(after)} ORDER BY ${id} LIMIT ${PAGE}`);
    for (const row of page) {
      signal?.throwIfAborted();
      yield row;
    }
    if (page.length < PAGE) return;
    after = page.at(-1)!.media_id;
  }
}

/**
 * All uploads in the order of their ids, byte by byte. Rows of URL previews are none: their files lie elsewhere
 * (synapse/media/filepath.py).
 */
export function uploadRows(
  session: QuerySession,
  { hashes, uploaders = false }: { hashes: boolean; uploaders?: boolean },
): AsyncIterable<UploadRow> {
  const sha256 = hashes ? "sha256" : "NULL";
  const uploader = uploaders ? "user_id" : "NULL";
  return session.rows<UploadRow>(`
    SELECT media_id AS key, media_length AS length, ${sha256} AS sha256, ${uploader} AS uploader FROM ${withoutIndex(session, "local_media_repository")}
    WHERE url_cache IS NULL ORDER BY ${bytewise(session, "media_id")}`);
}

/** Of all uploads together, by their rows. */
export async function uploadBytes(session: QuerySession): Promise<number> {
  const { bytes } = await session.one<{ bytes: number }>(
    "SELECT COALESCE(SUM(media_length), 0) AS bytes FROM local_media_repository WHERE url_cache IS NULL",
  );
  return bytes;
}

/** SQLite would follow the index and fetch each row from another page: to read all and sort is twice as quick. */
export const withoutIndex = ({ engine }: QuerySession, table: string) =>
  engine === "sqlite" ? `${table} NOT INDEXED` : table;

/** An order that is the same in every database. SQLite's own, BINARY, is that of bytes. */
export const bytewise = ({ engine }: QuerySession, expression: string) =>
  engine === "sqlite" ? expression : `${expression} COLLATE "C"`;
