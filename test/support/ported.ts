import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { parse, stringify } from "yaml";
import { canonicalJson } from "../../src/delegation/signed-json.ts";
import { readWithOldDevice } from "./lab/encrypted-conversation.ts";
import type { DatabaseSettings, HomeserverFolder } from "./lab/homeserver-folder.ts";
import { makeHomeserverFolder } from "./lab/homeserver-folder.ts";
import { populate, type Population } from "./lab/populate.ts";
import type { MatrixClient } from "./lab/matrix-client.ts";
import { SynapseServer } from "./lab/synapse-server.ts";
import { change } from "./old-sqlite.ts";

/** A homeserver that people lived on with SQLite, whose configuration is a file and a folder. */
export interface SqliteServer {
  readonly home: HomeserverFolder;
  readonly server: SynapseServer;
  readonly people: Population;
  /** Of the database. */
  readonly path: string;
  /** Arguments that name its configuration. */
  readonly config: readonly string[];
}

/** Makes it and fills it through the client API. Its background updates are finished, and it runs. */
export async function makeSqliteServer(): Promise<SqliteServer> {
  const home = await makeHomeserverFolder({
    settings: {
      background_updates: { sleep_enabled: false },
      // Subscriptions of threads.
      experimental_features: { msc4306_enabled: true },
    },
  });
  const settings = parse(readFileSync(home.configFile, "utf8")) as Record<string, unknown>;
  // As Debian has it: what belongs together is in another file.
  const folder = join(home.configFile, "../conf.d");
  mkdirSync(folder);
  writeFileSync(join(folder, "database.yaml"), stringify({ database: settings["database"] }));
  delete settings["database"];
  writeFileSync(home.configFile, stringify(settings), { mode: 0o600 });
  const server = new SynapseServer({
    configFiles: [home.configFile, join(folder, "database.yaml")],
    folder: home.dataFolder,
  });
  await server.start();
  const people = await populate(server.baseUrl, home.registrationSharedSecret);
  const config = [
    ...["--config", home.configFile, "--config", folder],
    ...["--working-directory", home.dataFolder],
  ];
  const path = String(home.database.args["database"]);
  await updatesFinished(path);
  return { home, server, people, path, config };
}

/** A new homeserver still has some for a while. */
async function updatesFinished(path: string): Promise<void> {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 10_000 });
  try {
    const left = database.prepare("SELECT count(*) AS count FROM background_updates");
    while (left.get()!["count"] !== 0) await wait(100);
  } finally {
    database.close();
  }
}

/** The same server on another database, stopped. */
export function onDatabase({ home }: Pick<SqliteServer, "home">, database: DatabaseSettings): SynapseServer {
  const folder = join(home.configFile, "../conf.d");
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  writeFileSync(join(folder, "database.yaml"), stringify({ database }), { mode: 0o600 });
  return new SynapseServer({
    configFiles: [home.configFile, join(folder, "database.yaml")],
    folder: home.dataFolder,
  });
}

/** Old tokens read what was there, media and what only the old device can decrypt included; not the rooms in `except`. */
export async function readEverything(
  { people }: Pick<SqliteServer, "people">,
  url: string,
  { except = [] }: { readonly except?: readonly string[] } = {},
): Promise<void> {
  const bob = people.bob.at(url);
  for (const room of Object.values(people.rooms)) {
    if (except.includes(room.id)) continue;
    const said = await bob.messages(room.id);
    assert.deepEqual(said.slice(0, room.messages.length), room.messages);
  }
  for (const { mxc, sha256, name } of people.media) {
    const { bytes } = await bob.download(mxc);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
  }
  const { roomId, texts } = people.encrypted;
  assert.deepEqual(await readWithOldDevice(url, people.alice.session, roomId), texts);
}

/** Writes what needs a sequence: a message of everybody in every room, threads, messages from device to device, keys. */
export async function writeEverywhere({ people }: Pick<SqliteServer, "people">, url: string): Promise<void> {
  const [alice, bob, carol] = [people.alice, people.bob, people.carol].map((one) => one.at(url)) as [
    MatrixClient,
    MatrixClient,
    MatrixClient,
  ];
  let sent = 0;
  for (const client of [alice, bob, carol]) {
    const { joined_rooms: rooms } = await client.call<{ joined_rooms: string[] }>(
      "GET",
      "/_matrix/client/v3/joined_rooms",
    );
    for (const room of rooms) {
      const id = await client.send(room, "from PostgreSQL");
      const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/event/${encodeURIComponent(id)}`;
      const { content } = await client.call<{ content: { body: string } }>("GET", path);
      assert.equal(content.body, "from PostgreSQL");
      sent += 1;
    }
  }
  assert.ok(sent >= 4, `${sent} messages were sent`);

  const market = encodeURIComponent(people.rooms.public.id);
  for (const text of ["one thread", "another"]) {
    const root = encodeURIComponent(await alice.send(people.rooms.public.id, text));
    const path = `/_matrix/client/unstable/io.element.msc4306/rooms/${market}/thread/${root}/subscription`;
    await alice.call("PUT", path, {});
    assert.equal((await alice.call<{ automatic: boolean }>("GET", path)).automatic, false);
  }

  const sync = "/_matrix/client/v3/sync";
  const { next_batch: since } = await bob.call<{ next_batch: string }>("GET", `${sync}?timeout=0`);
  const content = { messages: { [bob.session.userId]: { [bob.session.deviceId]: { text: "here" } } } };
  await alice.call("PUT", `/_matrix/client/v3/sendToDevice/org.example/${randomUUID()}`, content);
  const { to_device: got } = await bob.call<{ to_device: { events: { content: unknown }[] } }>(
    "GET",
    `${sync}?timeout=30000&since=${since}`,
  );
  assert.deepEqual(
    got.events.map((event) => event.content),
    [{ text: "here" }],
  );
}

/** What is wrong with the database, by the option that mends it; and what the script alone gets wrong. */
export const PLANTED_FAULTS: Readonly<Record<string, string>> = {
  "nul-bytes": `UPDATE devices SET display_name = 'a' || char(0) || 'b' WHERE user_id = '@carol:old.example';
    UPDATE event_search SET value = 'find' || char(0) || 'me' WHERE rowid = (SELECT min(rowid) FROM event_search)`,
  orphans: `INSERT INTO refresh_tokens (id, user_id, device_id, token, next_token_id) VALUES (3, '@alice:old.example', 'D', 'syr_orphan', 99)`,
  "pending-updates": `INSERT INTO background_updates (update_name, progress_json) VALUES ('populate_stats_process_rooms', '{}')`,
  "unknown-tables": `CREATE TABLE guestbook (n); INSERT INTO guestbook VALUES (1), (2)`,
  "auto-vacuum": `PRAGMA auto_vacuum = 1; VACUUM`,
};

const CONNECTION = `INSERT OR IGNORE INTO sliding_sync_connections (connection_key, user_id, effective_device_id, conn_id, created_ts)
    VALUES (5, '@alice:old.example', 'D', 'c', 1)`;

/** What the script does not see: mended without a word of the person, and reported. By the evidence that must be shown. */
export const PLANTED_SEQUENCES: Readonly<Record<string, string>> = {
  "device_inbox_sequence: at": `DELETE FROM device_inbox; UPDATE stream_positions SET stream_id = stream_id + 5 WHERE stream_name = 'to_device'`,
  "un_partial_stated_room_stream_sequence: at": `INSERT INTO un_partial_stated_room_stream SELECT 7, 'master', room_id FROM rooms LIMIT 1;
    INSERT INTO stream_positions VALUES ('un_partial_stated_room_stream', 'master', 9)`,
  "sticky_events_sequence: at": `INSERT INTO sticky_events (stream_id, instance_name, event_id, room_id, event_stream_ordering, sender, expires_at)
    SELECT 4, 'master', event_id, room_id, stream_ordering, sender, 1 FROM events LIMIT 1`,
  // The script reads where an identity column stands from sqlite_sequence alone.
  "state_groups_pending_deletion_sequence_number_seq: at": `INSERT INTO state_groups_pending_deletion (sequence_number, state_group, insertion_ts) VALUES (12, 1, 1);
    DELETE FROM sqlite_sequence`,
  "sliding_sync_connections_connection_key_seq: at": `${CONNECTION}; DELETE FROM sqlite_sequence`,
  "sliding_sync_connection_positions_connection_position_seq: at": `${CONNECTION};
    INSERT INTO sliding_sync_connection_positions VALUES (8, 5, 1); DELETE FROM sqlite_sequence`,
  "sliding_sync_connection_required_state_required_state_id_seq: at": `${CONNECTION};
    INSERT INTO sliding_sync_connection_required_state VALUES (3, 5, '[]'); DELETE FROM sqlite_sequence`,
  // A used refresh token refers to its successor, which the script inserts later.
  "refresh_tokens.next_token_id: 1": `INSERT INTO refresh_tokens (id, user_id, device_id, token, next_token_id)
    VALUES (1, '@alice:old.example', 'D', 'syr_used', 2), (2, '@alice:old.example', 'D', 'syr_next', NULL)`,
};

/** Plants without the checks that a server's own connection has. */
export function plant(path: string, faults: Readonly<Record<string, string>>): void {
  for (const sql of Object.values(faults)) change(path, `PRAGMA foreign_keys = OFF; ${sql}`);
}

/** Keys that remain of a redacted event in every version of rooms: its id is the hash of these (server-server API, "Event ID"). */
const OF_THE_ID = [
  ...["type", "room_id", "sender", "state_key", "hashes", "depth", "prev_events", "auth_events"],
  ...["origin_server_ts"],
];

/** The id of a message, whose whole content is redacted away. */
function eventId(event: Readonly<Record<string, unknown>>): string {
  const kept = Object.fromEntries(Object.entries(event).filter(([key]) => OF_THE_ID.includes(key)));
  const text = canonicalJson({ ...kept, content: {} });
  assert.ok(text !== undefined);
  return `$${createHash("sha256").update(text).digest("base64url")}`;
}

/**
 * Adds copies of one message to a database that is not in use, each with a time, a place and words of its own, and with the
 * id that such an event has: Synapse computes it again. Returns their room.
 */
export function addMessages(path: string, count: number): string {
  const database = new DatabaseSync(path);
  try {
    database.exec(`BEGIN;
      CREATE TEMP TABLE base AS SELECT * FROM events WHERE type = 'm.room.message' ORDER BY stream_ordering LIMIT 1;
      CREATE TEMP TABLE copy (n INTEGER PRIMARY KEY, id TEXT, words TEXT, json TEXT)`);
    const { id, room, json } = database
      .prepare(
        "SELECT event_id AS id, base.room_id AS room, j.json FROM base JOIN event_json j USING (event_id)",
      )
      .get() as { id: string; room: string; json: string };
    const event = JSON.parse(json) as Record<string, number> & { content: object };
    assert.equal(eventId(event), id);
    const insert = database.prepare("INSERT INTO copy VALUES (?, ?, ?, ?)");
    for (let n = 1; n <= count; n += 1) {
      const words = randomBytes(40).toString("hex");
      const copy = {
        ...event,
        depth: event["depth"]! + n,
        origin_server_ts: event["origin_server_ts"]! + n,
        content: { ...event.content, words },
      };
      insert.run(n, eventId(copy), words, JSON.stringify(copy));
    }
    database.exec(`
      INSERT INTO events SELECT (SELECT max(stream_ordering) FROM events) + n, topological_ordering + n, id, type, room_id, content,
        unrecognized_keys, processed, outlier, depth + n, origin_server_ts + n, received_ts + n, sender, contains_url, instance_name,
        state_key, rejection_reason FROM base, copy;
      INSERT INTO event_json SELECT id, j.room_id, j.internal_metadata, copy.json, j.format_version
        FROM event_json j JOIN base USING (event_id), copy;
      INSERT INTO event_edges SELECT id, base.event_id, NULL, 0 FROM base, copy;
      INSERT INTO event_to_state_groups SELECT id, g.state_group FROM event_to_state_groups g JOIN base USING (event_id), copy;
      INSERT INTO event_search SELECT id, base.room_id, base.sender, 'content.body', words FROM base, copy;
      UPDATE stream_positions SET stream_id = (SELECT max(stream_ordering) FROM events) WHERE stream_name = 'events';
      -- Else Synapse queues an update that brings this table up to date.
      UPDATE sliding_sync_joined_rooms SET event_stream_ordering = (SELECT max(stream_ordering) FROM events)
        WHERE room_id = (SELECT room_id FROM base);
      COMMIT`);
    return room;
  } finally {
    database.close();
  }
}
