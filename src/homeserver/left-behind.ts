import type { QuerySession } from "../system/query.ts";

/**
 * What does not move with the database. Export, restore, the gates and the text for those who open a bundle by hand
 * all read it here, so they cannot differ.
 */

/**
 * Its rows are in no dump, and stay in no restored database: a one-time key that is handed out twice breaks encrypted
 * messages (Synapse, docs/usage/administration/backups.md). Clients upload new ones as soon as they see that there are
 * none.
 */
export const ONE_TIME_KEYS = "e2e_one_time_keys_json";

/**
 * Rows whose files stay behind, children first. A row of remote media without its file answers 404 for ever
 * (synapse/media/media_repository.py, `_get_remote_media_impl`); without the row Synapse fetches the file again.
 * Quarantine is the row itself, so those rows stay. URL previews expire after two days anyway.
 */
export const LEFT_BEHIND: readonly { readonly table: string; readonly keep: string }[] = [
  {
    table: "remote_media_cache_thumbnails",
    keep: `EXISTS (SELECT 1 FROM remote_media_cache r WHERE r.media_origin = remote_media_cache_thumbnails.media_origin
      AND r.media_id = remote_media_cache_thumbnails.media_id AND r.quarantined_by IS NOT NULL)`,
  },
  { table: "remote_media_cache", keep: "quarantined_by IS NOT NULL" },
  { table: "local_media_repository_url_cache", keep: "FALSE" },
  {
    table: "local_media_repository_thumbnails",
    keep: `NOT EXISTS (SELECT 1 FROM local_media_repository m WHERE m.media_id = local_media_repository_thumbnails.media_id
      AND m.url_cache IS NOT NULL)`,
  },
  { table: "local_media_repository", keep: "url_cache IS NULL" },
];

/**
 * The statements that take it out of a restored database, before the server first starts. May be run again. A dump has
 * none of the one-time keys, but somebody may have restored another; a file of SQLite has them.
 */
export function removeLeftBehind(engine: QuerySession["engine"]): string[] {
  return [
    ...LEFT_BEHIND.map(({ table, keep }) => `DELETE FROM ${table} WHERE NOT (${keep.replace(/\s+/g, " ")});`),
    `${engine === "postgres" ? "TRUNCATE" : "DELETE FROM"} ${ONE_TIME_KEYS};`,
  ];
}
