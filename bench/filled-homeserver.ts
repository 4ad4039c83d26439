import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type HomeserverFolder,
  makeHomeserverFolder,
  postgresDatabase,
} from "../test/support/lab/homeserver-folder.ts";
import { register } from "../test/support/lab/matrix-client.ts";
import { type ClusterOptions, PostgresCluster } from "../test/support/lab/postgres-cluster.ts";
import { SynapseServer } from "../test/support/lab/synapse-server.ts";

export interface Filled {
  /** Where its Synapse answers once it runs. */
  readonly baseUrl: string;
  readonly home: HomeserverFolder;
  /** Its database is "large" there. */
  readonly cluster: PostgresCluster;
  /** Bytes of the database, as PostgreSQL counts them. */
  readonly databaseBytes: number;
  readonly close: () => Promise<void>;
}

/**
 * A real Synapse's homeserver, stopped, with so many messages and so many bytes of media that nothing makes smaller: in so
 * many files of the same size, or in files of several sizes where that is left out.
 */
export async function filledHomeserver(
  messages: number,
  mediaBytes: number,
  mediaFiles?: number,
  { settings = {}, ...options }: ClusterOptions = {},
): Promise<Filled> {
  const cluster = await PostgresCluster.start({
    ...options,
    settings: { shared_buffers: "256MB", max_wal_size: "4GB", ...settings },
  });
  const database = await postgresDatabase(cluster, "large");
  const home = await makeHomeserverFolder({ serverName: "large.example", database });
  const baseUrl = await fill(home, cluster, messages);
  const sizes = mediaFiles === undefined ? SIZES : [Math.ceil(mediaBytes / mediaFiles)];
  await makeMedia(home.mediaStorePath, mediaBytes, sizes, cluster);
  return {
    baseUrl,
    home,
    cluster,
    databaseBytes: Number(await cluster.sql("large", "select pg_database_size('large')")),
    close: async () => {
      await cluster.stop();
      rmSync(home.folder, { recursive: true, force: true });
    },
  };
}

async function fill(home: HomeserverFolder, cluster: PostgresCluster, messages: number): Promise<string> {
  const server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  const person = { name: "ann", password: "p", admin: true };
  const admin = await register(server.baseUrl, home.registrationSharedSecret, person);
  const room = await admin.createRoom({ preset: "public_chat" });
  await admin.send(room, "the message that all the others are made of");
  await server.stop();
  // As well and as badly compressed as life.
  const words = "md5(random()::text) || md5(random()::text) || ' '";
  await cluster.sql("large", `${messagesSql(messages, words)} vacuum analyze;`);
  return server.baseUrl;
}

/** An SQL text of as many random bytes as a hash has, as Matrix writes them: base64 without an end. */
const randomText = (hash: "sha256" | "sha512") =>
  `translate(encode(${hash}((n || random()::text)::bytea), 'base64'), E'=\\n', '')`;

/**
 * The message's event with what no two events in life have in common: a hash, a signature, the event before it, and its
 * words. They are most of what a dump's compression has to work on.
 */
const ownJson = (words: string) =>
  [
    ['("sha256":")[^"]*', randomText("sha256")],
    ['("ed25519:[^"]+":")[^"]*', randomText("sha512")],
    ['("prev_events":\\["\\$)[^"]*', randomText("sha256")],
    ["(the message)", words],
  ].reduce((json, [pattern, own]) => `regexp_replace(${json}, '${pattern!}', '\\1' || ${own!})`, "j.json");

/** Copies of the one message, each with an id, a place in the stream and words of its own: an SQL text of `n`, its number. */
export const messagesSql = (count: number, words: string) => `
  create temporary table base as select * from events where type = 'm.room.message' limit 1;
  create temporary table copy as select n, '$' || encode(sha256(n::text::bytea), 'hex') as id from generate_series(1, ${count}) n;
  insert into events (topological_ordering, event_id, type, room_id, content, unrecognized_keys, processed, outlier, depth,
      origin_server_ts, received_ts, sender, contains_url, instance_name, stream_ordering, state_key, rejection_reason)
    select topological_ordering + n, id, type, room_id, content, unrecognized_keys, processed, outlier, depth + n,
      origin_server_ts + n, received_ts + n, sender, contains_url, instance_name, stream_ordering + n, state_key, rejection_reason
    from base, copy;
  insert into event_json (event_id, room_id, internal_metadata, json, format_version)
    select id, j.room_id, j.internal_metadata, ${ownJson(words)}, j.format_version
    from event_json j join base using (event_id), copy;
  select setval('events_stream_seq', (select max(stream_ordering) from events));`;

const SIZES = [4_000, 40_000, 400_000, 2_000_000, 12_000_000];

/** Uploads of Ann's, with their rows. */
/** Rows in one statement. */
const ROWS = 10_000;

async function makeMedia(
  store: string,
  bytes: number,
  sizes: readonly number[],
  cluster: PostgresCluster,
): Promise<void> {
  const rows: string[] = [];
  for (let number = 0, left = bytes; left > 0; number += 1) {
    const size = Math.min(left, sizes[number % sizes.length]!);
    const id = randomBytes(12).toString("hex");
    const path = join(store, "local_content", id.slice(0, 2), id.slice(2, 4), id.slice(4));
    mkdirSync(dirname(path), { recursive: true });
    const content = randomBytes(size);
    writeFileSync(path, content);
    const hash = createHash("sha256").update(content).digest("hex");
    rows.push(`('${id}', 'image/png', ${size}, ${number}, 'picture.png', '@ann:large.example', '${hash}')`);
    left -= size;
  }
  for (let first = 0; first < rows.length; first += ROWS)
    await cluster.sql(
      "large",
      `insert into local_media_repository (media_id, media_type, media_length, created_ts, upload_name, user_id, sha256)
       values ${rows.slice(first, first + ROWS).join(", ")}`,
    );
}
