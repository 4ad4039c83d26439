import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { type QuerySession, sqlText } from "../system/query.ts";

/**
 * What is moved besides uploads and their thumbnails: those rows stay, and their files are packed. The rest of the
 * rows is taken out of the restored database, as each would answer 404 for ever.
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
/** What a person asked for, before anybody knows which servers are gone. */
export type MediaOrder = Pick<Kept, "remote" | "previews">;

export const NOTHING_KEPT: Kept = { remote: false, origins: [], previews: false };
/** What a step's outcome depends on; nothing where nothing is kept, as in bundles begun before there was a choice. */
export const keptInputs = (kept: Kept = NOTHING_KEPT): { kept?: string } =>
  isDeepStrictEqual(kept, NOTHING_KEPT) ? {} : { kept: JSON.stringify(kept) };
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
/** Rows of a table, and which of them stay. */
export interface LeftBehind {
  readonly table: string;
  readonly keep: string;
}
/**
 * Rows whose files stay behind, children first. A row of remote media without its file answers 404 for ever
 * (synapse/media/media_repository.py, `_get_remote_media_impl`); without the row Synapse fetches the file again.
 * Quarantine is the row itself, so those rows stay. URL previews expire after two days anyway.
 */
export function leftBehind({ remote, origins, previews }: Kept): LeftBehind[] {
  const staysIn = (of: string) =>
    `(${of}quarantined_by IS NOT NULL${origins.length === 0 ? "" : ` OR ${of}media_origin IN (${origins.map(sqlText).join(", ")})`})`;
  return [
    ...(remote
      ? []
      : [
          {
            table: "remote_media_cache_thumbnails",
            keep: `EXISTS (SELECT 1 FROM remote_media_cache r WHERE r.media_origin = remote_media_cache_thumbnails.media_origin AND r.media_id = remote_media_cache_thumbnails.media_id AND ${staysIn("r.")})`,
          },
          { table: "remote_media_cache", keep: staysIn("") },
        ]),
    ...(previews
      ? []
      : [
          { table: "local_media_repository_url_cache", keep: "FALSE" },
          {
            table: "local_media_repository_thumbnails",
            keep: `NOT EXISTS (SELECT 1 FROM local_media_repository m WHERE m.media_id = local_media_repository_thumbnails.media_id AND m.url_cache IS NOT NULL)`,
          },
          { table: "local_media_repository", keep: "url_cache IS NULL" },
        ]),
  ];
}
/**
 * The statements that take it out of a restored database, before the server first starts. May be run again. A dump has
 * none of the one-time keys, but somebody may have restored another; a file of SQLite has them.
 */
export function removeLeftBehind(engine: QuerySession["engine"], kept: Kept = NOTHING_KEPT): string[] {
  return [
    ...leftBehind(kept).map(({ table, keep }) => `DELETE FROM ${table} WHERE NOT (${keep});`),
    `${engine === "postgres" ? "TRUNCATE" : "DELETE FROM"} ${ONE_TIME_KEYS};`,
  ];
}
