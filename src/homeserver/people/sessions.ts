import { type QuerySession, quoteLiteral } from "../../system/query.ts";
import { readColumns } from "./inspect.ts";

/** "soft": Synapse answers 401 with `soft_logout: true`. "hard": with false. */
export type SessionEnd = "soft" | "hard";

/** What ending the sessions concerns, or concerned. */
export interface SessionCounts {
  readonly accounts: number;
  readonly accessTokens: number;
  readonly refreshTokens: number;
  /** Pushes to clients that are switched off; 0 in the soft way. */
  readonly pushers: number;
}

/** Sessions that are left alone, in access tokens. */
export interface SessionsLeftAlone {
  readonly appservices: number;
  readonly guests: number;
  /** Of accounts that were named. */
  readonly kept: number;
}

/** An end of sessions that was made in this database and can be undone. */
export interface RecordedEnd {
  readonly end: SessionEnd;
  /** Milliseconds since 1970: what the tokens expire at since then. */
  readonly at: number;
  readonly counts: SessionCounts;
}

/** The table in which an end of sessions keeps what it changed: written in the same transaction, dropped by the undo. */
export const SESSIONS_RECORD = "synlift_sign_out";

/**
 * What the schema has: refresh tokens came with Synapse 1.38, their expiry with 1.48, `pushers.enabled` with 1.67
 * (synapse/storage/schema/main/delta).
 */
export type SessionSchema = Awaited<ReturnType<typeof readSessionSchema>>;

export async function readSessionSchema(session: QuerySession) {
  const has = await readColumns(session, ["refresh_tokens", "pushers", SESSIONS_RECORD]);
  return {
    hasRefreshTokens: has("refresh_tokens", "expiry_ts"),
    canDisablePushers: has("pushers", "enabled"),
    isRecorded: has(SESSIONS_RECORD),
  };
}

/** Whose sessions end: people and bots of this server. Those of application services and guests stay. */
export interface WhoseSessions {
  /** User ids that are left alone. */
  readonly keep: readonly string[];
}

const APPSERVICE = "COALESCE(u.appservice_id, '') <> ''";
const GUEST = "COALESCE(u.is_guest, 0) <> 0";
const among = (keep: readonly string[]) =>
  keep.length === 0 ? "1 = 0" : `u.name IN (${keep.map(quoteLiteral).join(", ")})`;

const concerns = (user: string, { keep }: WhoseSessions) =>
  `EXISTS (SELECT 1 FROM users u WHERE u.name = ${user} AND NOT (${APPSERVICE}) AND NOT (${GUEST}) AND NOT (${among(keep)}))`;

/** Mail is sent for an account, not for a session. */
const concernedPushers = (whose: WhoseSessions) =>
  `kind = 'http' AND COALESCE(enabled, TRUE) AND ${concerns("user_name", whose)}`;

/** An access token that has expired already gets the soft answer: only the hard way changes it. */
const concernedTokens = (end: SessionEnd, at: number, column: string, whose: WhoseSessions) =>
  `${concerns("user_id", whose)}${end === "soft" ? ` AND (${column} IS NULL OR ${column} > ${at})` : ""}`;

/** Counts what `endSessions` would end. Reads only. */
export async function countSessions(
  session: QuerySession,
  { end, at, whose }: { readonly end: SessionEnd; readonly at: number; readonly whose: WhoseSessions },
  { hasRefreshTokens, canDisablePushers }: SessionSchema,
): Promise<SessionCounts & { readonly left: SessionsLeftAlone }> {
  const access = await session.one<{ accounts: number; tokens: number }>(
    `SELECT COUNT(DISTINCT user_id) AS accounts, COUNT(*) AS tokens FROM access_tokens WHERE ${concernedTokens(end, at, "valid_until_ms", whose)}`,
  );
  const refresh = hasRefreshTokens
    ? await session.one<{ tokens: number }>(
        `SELECT COUNT(*) AS tokens FROM refresh_tokens WHERE ${concernedTokens(end, at, "expiry_ts", whose)}`,
      )
    : { tokens: 0 };
  const pushers =
    end === "hard" && canDisablePushers
      ? await session.one<{ pushers: number }>(
          `SELECT COUNT(*) AS pushers FROM pushers WHERE ${concernedPushers(whose)}`,
        )
      : { pushers: 0 };
  const left = await session.one<SessionsLeftAlone>(`
    SELECT COALESCE(SUM(CASE WHEN ${APPSERVICE} THEN 1 ELSE 0 END), 0) AS appservices,
      COALESCE(SUM(CASE WHEN ${GUEST} THEN 1 ELSE 0 END), 0) AS guests,
      COALESCE(SUM(CASE WHEN NOT (${APPSERVICE}) AND NOT (${GUEST}) AND ${among(whose.keep)} THEN 1 ELSE 0 END), 0) AS kept
    FROM access_tokens t JOIN users u ON u.name = t.user_id`);
  return {
    accounts: access.accounts,
    accessTokens: access.tokens,
    refreshTokens: refresh.tokens,
    pushers: pushers.pushers,
    left,
  };
}

/** Which of these accounts do not exist. */
export async function unknownAccounts(session: QuerySession, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  const found = await session.all<{ name: string }>(
    `SELECT name FROM users WHERE name IN (${names.map(quoteLiteral).join(", ")})`,
  );
  return names.filter((name) => !found.some((one) => one.name === name));
}

/** The end that is recorded in the database; the schema says whether there is one. */
export async function readRecordedEnd(session: QuerySession): Promise<RecordedEnd> {
  const count = (kind: string) =>
    `(SELECT COUNT(*) FROM ${SESSIONS_RECORD} WHERE kind = ${quoteLiteral(kind)}) AS "${kind}"`;
  const found = await session.one<{
    end: SessionEnd;
    at: number;
    accounts: number;
    access: number;
    refresh: number;
    pusher: number;
  }>(`
    SELECT kind AS "end", id AS at, expires AS accounts, ${count("access")}, ${count("refresh")}, ${count("pusher")}
    FROM ${SESSIONS_RECORD} WHERE kind IN ('soft', 'hard')`);
  return {
    end: found.end,
    at: found.at,
    counts: {
      accounts: found.accounts,
      accessTokens: found.access,
      refreshTokens: found.refresh,
      pushers: found.pusher,
    },
  };
}

/**
 * Statements that end the sessions, and record what they change; for one transaction, on a database that no server uses:
 * a running one has its tokens in memory. The rows stay, so ids and what refers to them do, too. In the hard way each
 * token becomes one that nobody knows: `secret` must be random. It has expired as well, so knowing it opens nothing.
 */
export function endSessions(
  {
    end,
    at,
    whose,
    secret,
    accounts,
  }: {
    readonly end: SessionEnd;
    readonly at: number;
    readonly whose: WhoseSessions;
    readonly secret: string;
    readonly accounts: number;
  },
  { hasRefreshTokens, canDisablePushers }: SessionSchema,
): string[] {
  const tokens = (kind: string, table: string, column: string) => [
    `INSERT INTO ${SESSIONS_RECORD} (kind, id, token, expires)
      SELECT '${kind}', id, ${end === "hard" ? "token" : "NULL"}, ${column} FROM ${table} WHERE ${concernedTokens(end, at, column, whose)};`,
    `UPDATE ${table} SET ${column} = ${at}${end === "hard" ? `, token = ${quoteLiteral(`ended_${secret}_`)} || id` : ""}
      WHERE id IN (SELECT id FROM ${SESSIONS_RECORD} WHERE kind = '${kind}');`,
  ];
  return [
    `CREATE TABLE ${SESSIONS_RECORD} (kind TEXT NOT NULL, id BIGINT NOT NULL, token TEXT, expires BIGINT, PRIMARY KEY (kind, id));`,
    `INSERT INTO ${SESSIONS_RECORD} (kind, id, expires) VALUES ('${end}', ${at}, ${accounts});`,
    ...tokens("access", "access_tokens", "valid_until_ms"),
    ...(hasRefreshTokens ? tokens("refresh", "refresh_tokens", "expiry_ts") : []),
    ...(end === "hard" && canDisablePushers
      ? [
          `INSERT INTO ${SESSIONS_RECORD} (kind, id) SELECT 'pusher', id FROM pushers WHERE ${concernedPushers(whose)};`,
          `UPDATE pushers SET enabled = FALSE WHERE id IN (SELECT id FROM ${SESSIONS_RECORD} WHERE kind = 'pusher');`,
        ]
      : []),
  ];
}

/**
 * Statements that undo `endSessions`, for one transaction on a database that no server uses. Rows that Synapse removed or
 * replaced since are left as they are.
 */
export function restoreSessions(
  { end, at }: Pick<RecordedEnd, "end" | "at">,
  { hasRefreshTokens, canDisablePushers }: SessionSchema,
): string[] {
  const tokens = (kind: string, table: string, column: string) => {
    const kept = (name: string) =>
      `(SELECT r.${name} FROM ${SESSIONS_RECORD} r WHERE r.kind = '${kind}' AND r.id = ${table}.id)`;
    return `UPDATE ${table} SET ${column} = ${kept("expires")}${end === "hard" ? `, token = ${kept("token")}` : ""}
      WHERE ${column} = ${at} AND id IN (SELECT id FROM ${SESSIONS_RECORD} WHERE kind = '${kind}');`;
  };
  return [
    tokens("access", "access_tokens", "valid_until_ms"),
    ...(hasRefreshTokens ? [tokens("refresh", "refresh_tokens", "expiry_ts")] : []),
    ...(end === "hard" && canDisablePushers
      ? [
          `UPDATE pushers SET enabled = TRUE WHERE id IN (SELECT id FROM ${SESSIONS_RECORD} WHERE kind = 'pusher');`,
        ]
      : []),
    ...forgetSessions(),
  ];
}

/** Statements after which an end of sessions can no longer be undone. */
export const forgetSessions = (): string[] => [`DROP TABLE ${SESSIONS_RECORD};`];

/** How many of the recorded sessions can still be restored. */
export async function restorableSessions(
  session: QuerySession,
  { at }: Pick<RecordedEnd, "at">,
): Promise<number> {
  const { count } = await session.one<{ count: number }>(
    `SELECT COUNT(*) AS count FROM access_tokens WHERE valid_until_ms = ${at} AND id IN (SELECT id FROM ${SESSIONS_RECORD} WHERE kind = 'access')`,
  );
  return count;
}
