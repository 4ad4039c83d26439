import { type QuerySession, quoteLiteral } from "../../system/query.ts";
import { ACCOUNT_DATA, KEY_PREFIX } from "./secret-storage.ts";

/** One account as the database has it; SQLite has 0 and 1 for booleans. */
export interface AccountRow {
  readonly userId: string;
  readonly admin: number;
  readonly guest: number;
  readonly appservice: string | null;
  readonly userType: string | null;
  readonly locked: boolean | number;
  readonly devices: number;
  readonly encryptingDevices: number;
  readonly deviceSeen: number | null;
  readonly addressSeen: number | null;
  readonly visited: number | null;
  readonly encryptedRooms: number;
  readonly version: number | null;
  readonly algorithm: string | null;
  readonly keys: number;
  readonly crossSigningKeys: number;
  readonly dehydrated: boolean | number;
  /** Types and contents: an object from PostgreSQL, its text from SQLite; null when there are none. */
  readonly accountData: Readonly<Record<string, string>> | string | null;
}

export interface AccountsQuery {
  readonly engine: QuerySession["engine"];
  readonly serverName: string;
  /** Count the keys in each backup: it reads the index of all of them. Otherwise 1 stands for some. */
  readonly countKeys: boolean;
  /** What the schema has; it differs between versions of Synapse. */
  readonly has: (table: string, column?: string) => boolean;
}

/** One row for each account of this server that was not deactivated, in the order of user ids. */
export function accountsSql({ engine, serverName, countKeys, has }: AccountsQuery): string {
  const dehydrated = (user: string, device?: string) =>
    has("dehydrated_devices")
      ? `EXISTS (SELECT 1 FROM dehydrated_devices h WHERE h.user_id = ${user}${device === undefined ? "" : ` AND h.device_id = ${device}`})`
      : "FALSE";
  const keys = "SELECT 1 FROM e2e_room_keys k WHERE k.user_id = u.name AND k.version = b.version";
  const collected = engine === "postgres" ? "json_object_agg" : "json_group_object";
  const types = ACCOUNT_DATA.map(quoteLiteral).join(", ");
  return `
SELECT u.name AS "userId", u.admin, u.is_guest AS guest, u.appservice_id AS appservice, u.user_type AS "userType",
  ${has("users", "locked") ? "u.locked" : "FALSE"} AS locked,
  COALESCE(d.devices, 0) AS devices, COALESCE(d.encrypting, 0) AS "encryptingDevices", d.last_seen AS "deviceSeen",
  (SELECT MAX(i.last_seen) FROM user_ips i WHERE i.user_id = u.name) AS "addressSeen",
  (SELECT MAX(v.timestamp) FROM user_daily_visits v WHERE v.user_id = u.name) AS visited,
  COALESCE(r.rooms, 0) AS "encryptedRooms",
  b.version, (SELECT w.algorithm FROM e2e_room_keys_versions w WHERE w.user_id = u.name AND w.version = b.version) AS algorithm,
  ${countKeys ? `(SELECT COUNT(*) FROM (${keys}) stored)` : `CASE WHEN EXISTS (${keys}) THEN 1 ELSE 0 END`} AS keys,
  (SELECT COUNT(DISTINCT c.keytype) FROM e2e_cross_signing_keys c
    WHERE c.user_id = u.name AND c.keytype IN ('master', 'self_signing', 'user_signing')) AS "crossSigningKeys",
  ${dehydrated("u.name")} AS dehydrated,
  (SELECT ${collected}(a.account_data_type, a.content) FROM account_data a
    WHERE a.user_id = u.name AND (a.account_data_type IN (${types}) OR a.account_data_type LIKE ${quoteLiteral(`${KEY_PREFIX}%`)})
      AND length(a.content) < ${LONGEST}) AS "accountData"
FROM users u
LEFT JOIN (
  SELECT d.user_id, COUNT(*) AS devices, COUNT(k.device_id) AS encrypting, MAX(d.last_seen) AS last_seen
  FROM devices d LEFT JOIN e2e_device_keys_json k ON k.user_id = d.user_id AND k.device_id = d.device_id
  WHERE NOT COALESCE(d.hidden, FALSE) AND NOT ${dehydrated("d.user_id", "d.device_id")} GROUP BY d.user_id
) d ON d.user_id = u.name
LEFT JOIN (
  SELECT user_id, MAX(version) AS version FROM e2e_room_keys_versions WHERE deleted = 0 GROUP BY user_id
) b ON b.user_id = u.name
LEFT JOIN (
  SELECT m.user_id, COUNT(*) AS rooms
  FROM local_current_membership m
  JOIN current_state_events s ON s.room_id = m.room_id AND s.type = 'm.room.encryption' AND s.state_key = ''
  WHERE m.membership = 'join' GROUP BY m.user_id
) r ON r.user_id = u.name
WHERE u.deactivated = 0 AND ${isLocal("u.name", serverName)}
ORDER BY u.name`;
}

/** Deactivated accounts have no keys any more: they are only counted. */
export const deactivatedSql = (serverName: string) =>
  `SELECT COUNT(*) AS count FROM users WHERE deactivated <> 0 AND ${isLocal("name", serverName)}`;

const isLocal = (column: string, serverName: string) =>
  `substr(${column}, length(${column}) - ${serverName.length}) = ${quoteLiteral(`:${serverName}`)}`;

/** Characters. What clients write here is far shorter; longer ones would only fill our memory. */
const LONGEST = 16_384;
