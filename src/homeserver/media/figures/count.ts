import type { QuerySession } from "../../../system/query.ts";
import type { Amount, LargeUpload, MediaKinds } from "../facts.ts";
import { type Ages, type DayRow, daySql } from "./age.ts";

export interface MediaCount {
  readonly kinds: MediaKinds;
  readonly largest: readonly LargeUpload[];
  /** Uploads over the limit that was given. */
  readonly tooLarge: number;
}

interface LocalRow extends DayRow {
  readonly kind: "upload" | "pending" | "preview";
  readonly quarantined: number;
  readonly tooLarge: number;
}

/**
 * All media by its rows; columns as in synapse/storage/databases/main/media_repository.py. Each table is read once,
 * and summed up by the database: what comes over does not grow with the rows.
 */
export async function countMedia(
  session: QuerySession,
  ages: Ages,
  limit: number | undefined,
): Promise<MediaCount> {
  const sums = { upload: nothing(), pending: nothing(), preview: nothing() };
  let quarantinedLocal = 0;
  let tooLarge = 0;
  for await (const row of session.rows<LocalRow>(`
    SELECT CASE WHEN url_cache IS NOT NULL THEN 'preview' WHEN media_length IS NULL THEN 'pending' ELSE 'upload' END AS kind,
      ${daySql("created_ts")} AS day, COUNT(*) AS files, COALESCE(SUM(media_length), 0) AS bytes,
      SUM(CASE WHEN quarantined_by IS NOT NULL THEN 1 ELSE 0 END) AS quarantined,
      SUM(CASE WHEN media_length > ${limit ?? Number.MAX_SAFE_INTEGER} THEN 1 ELSE 0 END) AS "tooLarge"
    FROM local_media_repository GROUP BY 1, 2`)) {
    add(sums[row.kind], row);
    if (row.kind !== "preview") quarantinedLocal += row.quarantined;
    if (row.kind !== "upload") continue;
    tooLarge += row.tooLarge;
    ages.add("local", row);
  }
  const largest = await session.all<LargeUpload>(`
    SELECT media_id AS "mediaId", media_length AS bytes FROM local_media_repository
    WHERE url_cache IS NULL AND media_length IS NOT NULL ORDER BY media_length DESC, media_id LIMIT 5`);
  const thumbnails = await localThumbnails(session);
  const remote = await remoteMedia(session, ages);
  const remoteThumbnails = await session.one<Amount>(
    "SELECT COUNT(*) AS files, COALESCE(SUM(thumbnail_length), 0) AS bytes FROM remote_media_cache_thumbnails",
  );
  return {
    kinds: {
      localUploads: sums.upload,
      localThumbnails: thumbnails.uploads,
      remoteMedia: remote.all,
      remoteThumbnails,
      urlPreviews: sums.preview,
      urlPreviewThumbnails: thumbnails.previews,
      pending: sums.pending.files,
      quarantinedLocal,
      quarantinedRemote: remote.quarantined,
    },
    largest,
    tooLarge,
  };
}

/** Thumbnails of URL previews are in the same table. Of previews there are few: Synapse drops them after two days. */
async function localThumbnails(session: QuerySession): Promise<{ uploads: Amount; previews: Amount }> {
  const all = await session.one<Amount>(
    "SELECT COUNT(*) AS files, COALESCE(SUM(thumbnail_length), 0) AS bytes FROM local_media_repository_thumbnails",
  );
  const previews = await session.one<Amount>(`
    SELECT COUNT(*) AS files, COALESCE(SUM(t.thumbnail_length), 0) AS bytes FROM local_media_repository m
    JOIN local_media_repository_thumbnails t ON t.media_id = m.media_id WHERE m.url_cache IS NOT NULL`);
  // With the server running, both may change between the two questions.
  const uploads = {
    files: Math.max(0, all.files - previews.files),
    bytes: Math.max(0, all.bytes - previews.bytes),
  };
  return { uploads, previews };
}

async function remoteMedia(session: QuerySession, ages: Ages): Promise<{ all: Amount; quarantined: number }> {
  const all = nothing();
  let quarantined = 0;
  for await (const row of session.rows<DayRow & { quarantined: number }>(`
    SELECT ${daySql("created_ts")} AS day, COUNT(*) AS files, COALESCE(SUM(media_length), 0) AS bytes,
      SUM(CASE WHEN quarantined_by IS NOT NULL THEN 1 ELSE 0 END) AS quarantined
    FROM remote_media_cache GROUP BY 1`)) {
    add(all, row);
    quarantined += row.quarantined;
    ages.add("remote", row);
  }
  return { all, quarantined };
}

const nothing = () => ({ files: 0, bytes: 0 });

function add(sum: { files: number; bytes: number }, { files, bytes }: Amount): void {
  sum.files += files;
  sum.bytes += bytes;
}
