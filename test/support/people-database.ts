import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { realFiles } from "../../src/system/files/files.ts";
import { realPostgres } from "../../src/system/postgres/postgres.ts";
import type { QuerySession } from "../../src/system/query.ts";
import { realSqlite } from "../../src/system/sqlite/sqlite.ts";
import type { PostgresCluster } from "./lab/postgres-cluster.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import { programsWith } from "./real-world.ts";

/** The columns that the checks of accounts read, as in Synapse 1.163. Those that older ones lack are added by `LATER`. */
export const PEOPLE_TABLES = `
CREATE TABLE users (name TEXT UNIQUE, admin SMALLINT DEFAULT 0 NOT NULL, is_guest SMALLINT DEFAULT 0 NOT NULL,
  appservice_id TEXT, user_type TEXT, deactivated SMALLINT DEFAULT 0 NOT NULL);
CREATE TABLE devices (user_id TEXT NOT NULL, device_id TEXT NOT NULL, last_seen BIGINT, hidden BOOLEAN DEFAULT FALSE);
CREATE TABLE e2e_device_keys_json (user_id TEXT NOT NULL, device_id TEXT NOT NULL, key_json TEXT);
CREATE TABLE e2e_room_keys_versions (user_id TEXT NOT NULL, version BIGINT NOT NULL, algorithm TEXT NOT NULL, deleted SMALLINT DEFAULT 0 NOT NULL);
CREATE TABLE e2e_room_keys (user_id TEXT NOT NULL, room_id TEXT NOT NULL, session_id TEXT NOT NULL, version BIGINT NOT NULL);
CREATE TABLE e2e_cross_signing_keys (user_id TEXT NOT NULL, keytype TEXT NOT NULL, stream_id BIGINT NOT NULL);
CREATE TABLE account_data (user_id TEXT NOT NULL, account_data_type TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE user_ips (user_id TEXT NOT NULL, last_seen BIGINT NOT NULL);
CREATE TABLE user_daily_visits (user_id TEXT NOT NULL, timestamp BIGINT NOT NULL);
CREATE TABLE local_current_membership (room_id TEXT NOT NULL, user_id TEXT NOT NULL, membership TEXT NOT NULL);
CREATE TABLE current_state_events (room_id TEXT NOT NULL, type TEXT NOT NULL, state_key TEXT NOT NULL);
CREATE TABLE room_memberships (event_id TEXT NOT NULL, user_id TEXT NOT NULL, room_id TEXT NOT NULL, membership TEXT NOT NULL);
CREATE TABLE events (stream_ordering BIGINT NOT NULL, event_id TEXT NOT NULL, type TEXT NOT NULL, room_id TEXT NOT NULL, outlier BOOLEAN NOT NULL, origin_server_ts BIGINT, sender TEXT);
CREATE TABLE event_json (event_id TEXT NOT NULL, json TEXT NOT NULL);
`;

export const LATER = `
ALTER TABLE users ADD COLUMN locked BOOLEAN DEFAULT FALSE NOT NULL;
CREATE TABLE dehydrated_devices (user_id TEXT NOT NULL, device_id TEXT NOT NULL);
`;

/**
 * The same statements in a SQLite database and in the one that is called `name`, each opened as a look opens it. There is nothing else in
 * them: a database of that name is emptied, which takes a fifth of the time that a new one takes. Nobody may be connected to it.
 */
export async function sameInBoth(
  cluster: PostgresCluster,
  name: string,
  statements: string,
): Promise<readonly QuerySession[]> {
  const path = join(temporaryFolder("people"), "homeserver.db");
  const database = new DatabaseSync(path);
  database.exec(PEOPLE_TABLES + statements);
  database.close();
  const found = await cluster.sql("postgres", `select 1 from pg_database where datname = '${name}'`);
  if (found === "") await cluster.createDatabase(name);
  const emptied = "set lock_timeout = '10s'; drop schema public cascade; create schema public;";
  await cluster.sql(name, emptied + PEOPLE_TABLES + statements);
  const { host, port, superuser: user } = cluster.address;
  return [
    await realSqlite(realFiles, new AbortController().signal).connect(path),
    await realPostgres(programsWith()).connect({
      parameters: { host, port: String(port), user, dbname: name },
    }),
  ];
}

/** Rows of the tables above, as statements. Everybody is of example.org. */
export class Town {
  #statements: string[] = [];
  #events = 0;

  /** Milliseconds since 1970 of the next event. */
  time = 0;

  get sql(): string {
    return this.#statements.join("\n");
  }

  add(table: string, row: Readonly<Record<string, string | number | boolean | null>>): this {
    const values = Object.values(row).map((value) =>
      typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value),
    );
    this.#statements.push(
      `INSERT INTO ${table} (${Object.keys(row).join(", ")}) VALUES (${values.join(", ")});`,
    );
    return this;
  }

  user(name: string, more: Readonly<Record<string, string | number | boolean>> = {}): this {
    return this.add("users", { name: idOf(name), ...more });
  }

  device(
    name: string,
    device: string,
    { encrypts = true, seen = null as number | null, hidden = false } = {},
  ): this {
    this.add("devices", { user_id: idOf(name), device_id: device, last_seen: seen, hidden });
    return encrypts
      ? this.add("e2e_device_keys_json", { user_id: idOf(name), device_id: device, key_json: "{}" })
      : this;
  }

  accountData(name: string, type: string, content: unknown): this {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    return this.add("account_data", { user_id: idOf(name), account_data_type: type, content: text });
  }

  /** A backup, and its key if wanted. */
  backup(name: string, version: number, { deleted = 0, opens = true } = {}): this {
    const algorithm = "m.megolm_backup.v1.curve25519-aes-sha2";
    this.add("e2e_room_keys_versions", { user_id: idOf(name), version, algorithm, deleted });
    if (!opens) return this;
    const encrypted = { encrypted: { k: { iv: "i", ciphertext: "c", mac: "m" } } };
    return this.accountData(name, "m.secret_storage.default_key", { key: "k" })
      .accountData(name, "m.secret_storage.key.k", { algorithm: "m.secret_storage.v1.aes-hmac-sha2" })
      .accountData(name, "m.megolm_backup.v1", encrypted);
  }

  key(name: string, room: string, session: string, version = 1): this {
    return this.add("e2e_room_keys", { user_id: idOf(name), room_id: room, session_id: session, version });
  }

  encryptedRoom(room: string): this {
    return this.add("current_state_events", { room_id: room, type: "m.room.encryption", state_key: "" });
  }

  /** A change of membership, now. Give the last one of somebody with `current`. */
  moves(name: string, room: string, membership: string, { current = false, outlier = false } = {}): this {
    const event_id = this.#event("m.room.member", room, "{}", { outlier });
    this.add("room_memberships", { event_id, user_id: idOf(name), room_id: room, membership });
    return current
      ? this.add("local_current_membership", { room_id: room, user_id: idOf(name), membership })
      : this;
  }

  /** An encrypted message; `json` in the place of what a client would write. */
  says(room: string, session: string, { json = "", order = 0, outlier = false } = {}): this {
    const usual = JSON.stringify({
      type: "m.room.encrypted",
      content: { session_id: session },
      unsigned: {},
    });
    this.#event("m.room.encrypted", room, json === "" ? usual : json, { order, outlier });
    return this;
  }

  #event(type: string, room_id: string, json: string, { order = 0, outlier = false }): string {
    const event_id = `$event${++this.#events}`;
    const stream_ordering = order === 0 ? this.#events : order;
    this.add("events", {
      stream_ordering,
      event_id,
      type,
      room_id,
      outlier,
      origin_server_ts: this.time,
      sender: "@x:example.org",
    });
    this.add("event_json", { event_id, json });
    return event_id;
  }
}

const idOf = (name: string) => (name.startsWith("@") ? name : `@${name}:example.org`);
