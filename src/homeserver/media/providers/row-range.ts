import type { QuerySession } from "../../../system/query.ts";

/**
 * Uploads whose files a second pass looks for in storage providers: those with rows from `since` on, in milliseconds since
 * 1970, and those of some days. Such files are asked for row by row, which would take too long for all of them in an outage.
 */
export interface RowRange {
  readonly since: number;
  /** Whole days since 1970. */
  readonly days: readonly number[];
}

export const ALL_ROWS: RowRange = { since: 0, days: [] };

const NEVER = Number.MAX_SAFE_INTEGER;
/** Milliseconds. */
export const DAY = 86_400_000;

/**
 * Milliseconds that an upload may take from its row to its file (unused_expiration_time, a day where nobody says
 * otherwise), and as much again for who says otherwise.
 */
export const UPLOAD_TIME = 2 * DAY;

/** By day since 1970, how many complete uploads have a row of that day. As JSON: a journal keeps it. */
export type RowsPerDay = Readonly<Record<string, number>>;

/** What a first pass says of itself. */
export interface FirstRows {
  /** When it was begun, in milliseconds since 1970. */
  readonly began: number;
  /** Whether the server was down then. */
  readonly settled: boolean;
  /** What `countRowsPerDay` found before it packed anything; undefined when that is not known. */
  readonly rows?: RowsPerDay | undefined;
}

interface Reach {
  readonly session: QuerySession;
  readonly providers: readonly unknown[];
}

/** Counts what a second pass compares with. Nothing where there is no provider, which would never be asked. */
export async function countRowsPerDay({ session, providers }: Reach): Promise<RowsPerDay> {
  if (providers.length === 0) return {};
  const found = await session.all<{ day: number; count: number }>(`
    SELECT COALESCE(created_ts, 0) / ${DAY} AS day, count(*) AS count FROM local_media_repository
    WHERE url_cache IS NULL AND media_length IS NOT NULL GROUP BY 1 ORDER BY 1`);
  return Object.fromEntries(found.map(({ day, count }) => [day, count]));
}

/**
 * The rows whose files the first pass may not have: those from shortly before it began, and those of days that have more than
 * then. The second finds what a clock that was set back, a very late upload, or a server that ran again after it
 * was packed has added. Rows that were deleted change nothing.
 */
export async function rowsSince({ began, settled, rows }: FirstRows, reach: Reach): Promise<RowRange> {
  if (reach.providers.length === 0 || rows === undefined) return ALL_ROWS;
  const now = await countRowsPerDay(reach);
  const days = Object.keys(now).filter((day) => now[day]! > (rows[day] ?? 0));
  return { since: settled ? NEVER : began - UPLOAD_TIME, days: days.map(Number) };
}

/** Whether no row is in it. */
export const isEmpty = ({ since, days }: RowRange): boolean => since === NEVER && days.length === 0;

/** Whether a row of that time is in it. */
export const isInRange = ({ since, days }: RowRange, createdTs: number | null): boolean =>
  (createdTs ?? 0) >= since || days.includes(Math.trunc((createdTs ?? 0) / DAY));

/** The same in SQL, for rows of `local_media_repository`. */
export function rangeCondition({ since, days }: RowRange): string {
  if (since === 0) return "1 = 1";
  const time = "COALESCE(created_ts, 0)";
  const more = days.length === 0 ? "" : ` OR ${time} / ${DAY} IN (${days.join(", ")})`;
  return `(${time} >= ${since}${more})`;
}
