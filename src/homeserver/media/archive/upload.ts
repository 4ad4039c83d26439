import type { QuerySession } from "../../../system/query.ts";
import { columnOrNull, uploadPages } from "../store/rows.ts";

/** A local upload as its row has it. */
export interface Upload {
  readonly mediaId: string;
  readonly contentType: string | null;
  /** Bytes; null for an id that was reserved and has no file yet, or never will. */
  readonly length: number | null;
  /** Milliseconds since 1970. */
  readonly createdTs: number | null;
  readonly name: string | null;
  readonly userId: string | null;
  readonly lastAccessTs: number | null;
  readonly quarantinedBy: string | null;
  readonly safeFromQuarantine: boolean;
  /** Whether it is only served to those who are logged in; null where Synapse does not know that yet. */
  readonly authenticated: boolean | null;
  /** Lower-case hex; null where Synapse did not note it. */
  readonly sha256: string | null;
}

/** Uploads in the order of their ids, byte by byte, those after `after`. Rows of URL previews are none. */
export async function* uploadsAfter(session: QuerySession, after: string): AsyncIterable<Upload> {
  const authenticated = await columnOrNull(session, "authenticated");
  const sha256 = await columnOrNull(session, "sha256");
  const columns = `media_type, media_length, created_ts, upload_name, user_id, last_access_ts, quarantined_by,
    safe_from_quarantine, ${authenticated} AS authenticated, ${sha256} AS sha256`;
  for await (const row of uploadPages<UploadTableRow>(session, columns, { after })) yield uploadOf(row);
}

interface UploadTableRow {
  readonly media_id: string;
  readonly media_type: string | null;
  readonly media_length: number | null;
  readonly created_ts: number | null;
  readonly upload_name: string | null;
  readonly user_id: string | null;
  readonly last_access_ts: number | null;
  readonly quarantined_by: string | null;
  readonly safe_from_quarantine: boolean | 0 | 1 | null;
  readonly authenticated: boolean | 0 | 1 | null;
  readonly sha256: string | null;
}

const uploadOf = (row: UploadTableRow): Upload => ({
  mediaId: row.media_id,
  contentType: row.media_type,
  length: row.media_length,
  createdTs: row.created_ts,
  name: row.upload_name,
  userId: row.user_id,
  lastAccessTs: row.last_access_ts,
  quarantinedBy: row.quarantined_by,
  safeFromQuarantine: Boolean(row.safe_from_quarantine),
  authenticated: row.authenticated === null ? null : Boolean(row.authenticated),
  sha256: row.sha256?.toLowerCase() ?? null,
});
