import { dirname, join } from "node:path";
import { inTurn } from "../../../pipeline/in-turn.ts";
import type { Entry, Files, WalkEntry } from "../../../system/files/files.ts";
import { type QuerySession, quoteLiteral } from "../../../system/query.ts";
import { DAY, isInRange, type RowRange, rangeCondition, UPLOAD_TIME } from "../providers/row-range.ts";
import { LOCAL_FOLDERS, uploadPath, UPLOADS } from "../store/layout.ts";
import { bytewise, hasColumn, type UploadRow } from "../store/rows.ts";
import { compareMedia, type CompareOptions, type Comparison } from "./compare.ts";

/**
 * What a comparison of all uploads with their files leaves for a later one that looks only at what came since: uploads
 * never change, and each has a row with the time at which it was begun. The later one is made in an outage, which does not grow with the
 * number of uploads then.
 */
export interface ComparedBefore {
  /** Milliseconds since 1970: before it began. */
  readonly at: number;
  /** By day since 1970, as PostgreSQL describes its complete uploads, read before it began; see `describeDays`. */
  readonly days: Readonly<Record<string, string>>;
  /** Ids of uploads that had no file then, or another one. */
  readonly differing: readonly string[];
}

/** Of more that differ, all uploads are compared again. */
export const MOST_DIFFERING = 1000;
/** So many rows are compared at most: of more, looking at all is as quick. */
const MOST_ROWS = 100_000;

interface Totals {
  readonly days: Readonly<Record<string, string>>;
  readonly rows: number;
  readonly bytes: number;
}

/**
 * All complete uploads, by the day of their rows: number, bytes and a sum of hashes of their ids, so that a day changes when any of them
 * comes or goes. PostgreSQL only. Reads the table once, and sorts nothing.
 */
export async function describeDays(session: QuerySession): Promise<Totals> {
  const found = await session.all<{ day: number; rows: number; bytes: number; ids: string }>(`
    SELECT COALESCE(created_ts, 0) / ${DAY} AS day, count(*) AS rows, COALESCE(sum(media_length), 0)::int8 AS bytes,
      COALESCE(sum(hashtextextended(media_id, 0)), 0)::text AS ids
    FROM local_media_repository WHERE url_cache IS NULL AND media_length IS NOT NULL GROUP BY 1 ORDER BY 1`);
  return {
    days: Object.fromEntries(found.map(({ day, rows, bytes, ids }) => [day, `${rows} ${bytes} ${ids}`])),
    rows: found.reduce((sum, { rows }) => sum + rows, 0),
    bytes: found.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** A comparison of what came since an earlier one. */
export interface ComparisonSince {
  /** Its `rows` and `bytes` are those of all uploads. */
  readonly compared: Comparison;
  /** Ids of the uploads that were compared now, in order. */
  readonly ids: readonly string[];
  /** Of them, those that the earlier one had not seen, or not as they should be. */
  readonly since: number;
  /** Further uploads, at random, of which only the size was compared. */
  readonly others: number;
}

interface Place {
  readonly session: QuerySession;
  readonly store: string;
  readonly files: Files;
}

/**
 * Compares the uploads that came since an earlier comparison of all of them, those that differed then, and, where asked for, some
 * others at random: a store that is gone or is another one shows itself there. Undefined where so much came or differed that all
 * have to be compared. Throws as `compareMedia`.
 */
export async function compareSince(
  { session, store, files }: Place,
  { at, days, differing }: ComparedBefore,
  {
    sample = 0,
    ...options
  }: Omit<CompareOptions, "rows" | "walked" | "providers"> & {
    readonly sample?: number;
  },
): Promise<ComparisonSince | undefined> {
  if (differing.length > MOST_DIFFERING) return undefined;
  const now = await describeDays(session);
  const changed = Object.keys(now.days).filter((day) => now.days[day] !== days[day]);
  const range = { since: at - UPLOAD_TIME, days: changed.map(Number) };
  const chosen = await chooseRows(session, { range, differing, sample, hashes: options.hashes });
  if (!chosen) return undefined;
  const of = new Set(differing);
  const isSince = (row: ChosenRow) => isInRange(range, row.created) || of.has(row.key);
  const others = chosen.filter((row) => !isSince(row)).length;
  const compared = await compareMedia(session, store, files, {
    ...options,
    // A row at random is looked at, and not read.
    rows: inTurn(chosen.map((row) => (isSince(row) ? row : { ...row, sha256: null }))),
    walked: entriesOf(chosen, store, files),
  });
  return {
    compared: { ...compared, rows: now.rows, bytes: now.bytes },
    ids: chosen.map(({ key }) => key),
    since: chosen.length - others,
    others,
  };
}

interface ChosenRow extends UploadRow {
  readonly created: number | null;
}

async function chooseRows(
  session: QuerySession,
  {
    range,
    differing,
    sample,
    hashes,
  }: { range: RowRange; differing: readonly string[]; sample: number; hashes: boolean },
): Promise<readonly ChosenRow[] | undefined> {
  const table = "local_media_repository";
  const complete = "url_cache IS NULL AND media_length IS NOT NULL";
  const named =
    differing.length === 0 ? "" : ` OR media_id IN (${differing.map((id) => quoteLiteral(id)).join(", ")})`;
  const some =
    sample === 0
      ? ""
      : ` OR media_id IN (SELECT media_id FROM ${table} WHERE ${complete} ORDER BY random() LIMIT ${sample})`;
  const sha256 = hashes && (await hasColumn(session, "sha256")) ? "sha256" : "NULL";
  const rows = await session.all<ChosenRow>(`
    SELECT media_id AS key, media_length AS length, ${sha256} AS sha256, user_id AS uploader, created_ts AS created
    FROM ${table} WHERE ${complete} AND (${rangeCondition(range)}${named}${some})
    ORDER BY ${bytewise(session, "media_id")} LIMIT ${MOST_ROWS + 1}`);
  return rows.length > MOST_ROWS ? undefined : rows;
}

/** What a walk through the uploads would find of some of them. */
async function* entriesOf(
  rows: readonly UploadRow[],
  store: string,
  files: Files,
): AsyncIterable<readonly WalkEntry[]> {
  for (const { key } of rows) {
    const path = uploadPath(key);
    const found = path === undefined ? undefined : await files.lstat(join(store, path));
    if (path === undefined || !found) continue;
    const { size, mode, mtimeMs, uid } = found;
    const kind = found.kind === "file" ? "file" : "other";
    yield [{ name: path.slice(UPLOADS.length + 1), kind, size, mode, mtimeMs, uid }];
  }
}

/** A file or folder of an upload. */
export interface UploadEntry extends Entry {
  /** Below the store. */
  readonly name: string;
}

/** The file of an upload and its thumbnails, as they are now, each before what is around it where `folders` are wanted. */
export async function* entriesOfUpload(
  id: string,
  { store, files, folders = false }: Omit<Place, "session"> & { readonly folders?: boolean },
): AsyncIterable<UploadEntry> {
  const path = uploadPath(id);
  if (path === undefined) return;
  const [, thumbnails] = LOCAL_FOLDERS;
  const look = async (name: string) => {
    const entry = await files.lstat(join(store, name));
    return entry && { ...entry, name };
  };
  const beside = `${thumbnails}${path.slice(UPLOADS.length)}`;
  const around = (one: string) => [dirname(dirname(one)), dirname(one), one];
  const places = folders ? [...around(path), ...around(beside)] : [path, beside];
  for (const name of places) {
    const found = await look(name);
    if (!found) continue;
    if (name !== beside || folders) yield found;
    if (name !== beside || found.kind !== "folder") continue;
    for (const thumbnail of await files.list(join(store, beside))) {
      const one = await look(`${beside}/${thumbnail}`);
      if (one) yield one;
    }
  }
}
