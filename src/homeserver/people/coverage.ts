import { type QuerySession, quoteLiteral } from "../../system/query.ts";
import type { Coverage } from "./person.ts";

/** By user id, for each person with a backup who was in a room where somebody said something. */
export type Coverages = ReadonlyMap<string, Coverage>;

/**
 * Measures how many messages since `since` (milliseconds since 1970) each backup can decrypt: of the sessions of encrypted
 * messages in rooms and times in which the person was joined, those whose key is in the newest backup.
 *
 * A lower bound: some sessions were never shared with everybody. Reads every encrypted event since then with its JSON,
 * and keeps two numbers for each person with a backup.
 */
export async function measureCoverage(session: QuerySession, since: number): Promise<Coverages> {
  const found = new Map<string, Coverage>();
  for (const part of await partsOf(session, since)) {
    for await (const row of session.rows<CoverageRow>(coverageSql(session.engine, part), NO_JIT)) {
      const before = found.get(row.userId) ?? { sessions: 0, saved: 0 };
      const { sessions, saved } = row;
      found.set(row.userId, { sessions: before.sessions + sessions, saved: before.saved + saved });
    }
  }
  return found;
}

/** JIT compilation of this query takes seconds and does not make it faster. */
const NO_JIT = { jit: "off" };

interface CoverageRow {
  readonly userId: string;
  readonly sessions: number;
  readonly saved: number;
}

/**
 * SQL conditions that select the events. PostgreSQL handles all of them in one query. SQLite runs in this process, which must
 * be able to handle signals: one query per room.
 */
async function partsOf(session: QuerySession, since: number): Promise<string[]> {
  // Events that came as history of a room have a stream_ordering below 0: nobody of this server was there.
  const { first } = await session.one<{ first: number | null }>(
    `SELECT MIN(e.stream_ordering) AS "first" FROM events e WHERE e.origin_server_ts >= ${since} AND e.stream_ordering > 0`,
  );
  if (first === null) return [];
  const recent = `e.type = 'm.room.encrypted' AND e.stream_ordering >= ${first} AND e.origin_server_ts >= ${since} AND NOT e.outlier`;
  if (session.engine === "postgres") return [recent];
  const rooms = await session.all<{ room: string }>(
    `SELECT DISTINCT e.room_id AS room FROM events e WHERE ${recent}`,
  );
  return rooms.map(({ room }) => `${recent} AND e.room_id = ${quoteLiteral(room)}`);
}

/**
 * A message counts for those who were in the room when it came. Of a session its first and its last message are looked
 * at: a session does not outlive somebody's leaving, so one between the two tells nothing more.
 */
const coverageSql = (engine: QuerySession["engine"], events: string) => `
WITH spoken AS (
  SELECT e.room_id, ${SESSION_ID[engine]} AS session_id,
    MIN(e.stream_ordering) AS first_at, MAX(e.stream_ordering) AS last_at
  FROM events e JOIN event_json j ON j.event_id = e.event_id WHERE ${events} GROUP BY 1, 2
), moves AS (
  SELECT m.room_id, m.user_id, b.version, m.membership, e.stream_ordering AS since,
    LEAD(e.stream_ordering) OVER (PARTITION BY m.room_id, m.user_id ORDER BY e.stream_ordering) AS until
  FROM room_memberships m
  JOIN e2e_room_keys_versions b ON b.user_id = m.user_id AND b.deleted = 0 AND NOT EXISTS (
    SELECT 1 FROM e2e_room_keys_versions n WHERE n.user_id = b.user_id AND n.deleted = 0 AND n.version > b.version
  )
  JOIN events e ON e.event_id = m.event_id AND NOT e.outlier
  WHERE m.room_id IN (SELECT room_id FROM spoken)
), heard AS (
  SELECT DISTINCT m.user_id, m.version, s.room_id, s.session_id
  FROM moves m JOIN spoken s ON s.room_id = m.room_id AND s.session_id IS NOT NULL
  WHERE m.membership = 'join'
    AND ((s.first_at >= m.since AND (m.until IS NULL OR s.first_at < m.until))
      OR (s.last_at >= m.since AND (m.until IS NULL OR s.last_at < m.until)))
)
SELECT h.user_id AS "userId", COUNT(*) AS sessions, COUNT(k.session_id) AS saved
FROM heard h LEFT JOIN e2e_room_keys k
  ON k.user_id = h.user_id AND k.version = h.version AND k.room_id = h.room_id AND k.session_id = h.session_id
GROUP BY h.user_id`;

/**
 * One event whose JSON cannot be read must not spoil the answer for all. PostgreSQL before 16 cannot be asked whether a
 * text is JSON, and refuses some that Synapse takes (\u0000, NaN): there the text itself is searched. A quote within a
 * text is escaped, so what is found stands where a field does.
 */
const SESSION_ID = {
  postgres: `substring(j.json from '"session_id": ?"([^"]+)"')`,
  sqlite: "CASE WHEN json_valid(j.json) THEN json_extract(j.json, '$.content.session_id') END",
};
