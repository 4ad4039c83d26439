import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { type QuerySession, quoteLiteral } from "../system/query.ts";

/**
 * The media that is moved besides uploads and their thumbnails: its rows stay, and its files are packed. The rest of the
 * rows is deleted from the restored database, as Synapse would always return 404 for each.
 */
export const keptSchema = z.object({
  /** All media of other servers. */
  remote: z.boolean(),
  /** Servers whose media is kept although the rest is left behind: they no longer answer. */
  origins: z.array(z.string()),
  /** Previews of linked pages. */
  previews: z.boolean(),
});
export type Kept = Readonly<z.infer<typeof keptSchema>>;
/** The options as requested, before the unreachable servers are known. */
export type MediaOrder = Pick<Kept, "remote" | "previews">;

export const NOTHING_KEPT: Kept = { remote: false, origins: [], previews: false };
/** What a step's outcome depends on; nothing where nothing is kept, as in bundles begun before there was a choice. */
export const keptInputs = (kept: Kept = NOTHING_KEPT): { kept?: string } =>
  isDeepStrictEqual(kept, NOTHING_KEPT) ? {} : { kept: JSON.stringify(kept) };
/**
 * Rows that are not moved with the database. Export, restore, the gates and the manual opening instructions all use
 * this one list, so they cannot differ.
 */
/**
 * Its rows are never dumped and are removed from a restored database: a one-time key that is claimed twice breaks encrypted
 * messages (Synapse, docs/usage/administration/backups.md). Clients upload new ones when there are
 * none.
 */
export const ONE_TIME_KEYS = "e2e_one_time_keys_json";
/** A table, the condition of the rows to keep, and that of all others, as a person would write it: people read it, too. */
export interface ExcludedRows {
  readonly table: string;
  readonly keep: string;
  /** Left out for all rows. */
  readonly remove?: string;
}
const OF_PREVIEW =
  "SELECT 1 FROM local_media_repository m WHERE m.media_id = local_media_repository_thumbnails.media_id AND m.url_cache IS NOT NULL";

/**
 * Rows of files that are not moved, child tables first. A remote media row without its file answers 404 forever
 * (synapse/media/media_repository.py, `_get_remote_media_impl`); without the row Synapse fetches the file again.
 * Quarantine is the row itself, so those rows stay. URL previews expire after two days anyway.
 */
export function excludedRows({ remote, origins, previews }: Kept): ExcludedRows[] {
  const staysIn = (of: string) =>
    `(${of}quarantined_by IS NOT NULL${origins.length === 0 ? "" : ` OR ${of}media_origin IN (${origins.map(quoteLiteral).join(", ")})`})`;
  const goesIn = `quarantined_by IS NULL${origins.length === 0 ? "" : ` AND media_origin NOT IN (${origins.map(quoteLiteral).join(", ")})`}`;
  const ofThumbnail = `SELECT 1 FROM remote_media_cache r WHERE r.media_origin = remote_media_cache_thumbnails.media_origin AND r.media_id = remote_media_cache_thumbnails.media_id AND ${staysIn("r.")}`;
  return [
    ...(remote
      ? []
      : [
          {
            table: "remote_media_cache_thumbnails",
            keep: `EXISTS (${ofThumbnail})`,
            remove: `NOT EXISTS (${ofThumbnail})`,
          },
          { table: "remote_media_cache", keep: staysIn(""), remove: goesIn },
        ]),
    ...(previews
      ? []
      : [
          { table: "local_media_repository_url_cache", keep: "FALSE" },
          {
            table: "local_media_repository_thumbnails",
            keep: `NOT EXISTS (${OF_PREVIEW})`,
            remove: `EXISTS (${OF_PREVIEW})`,
          },
          { table: "local_media_repository", keep: "url_cache IS NULL", remove: "url_cache IS NOT NULL" },
        ]),
  ];
}
/**
 * The statements that delete these rows from a restored database before the server first starts. May be repeated. A dump
 * has no one-time keys, unless somebody restored another dump; an SQLite file has them.
 */
export function removeExcludedRows(engine: QuerySession["engine"], kept: Kept = NOTHING_KEPT): string[] {
  return [
    ...excludedRows(kept).map(
      ({ table, remove }) => `DELETE FROM ${table}${remove === undefined ? "" : ` WHERE ${remove}`};`,
    ),
    `${engine === "postgres" ? "TRUNCATE" : "DELETE FROM"} ${ONE_TIME_KEYS};`,
  ];
}
