import type { PostgresAddress } from "../../src/system/postgres/postgres.ts";
import { noise } from "./bytes.ts";
import type { PostgresCluster } from "./lab/postgres-cluster.ts";

/** A text that must never leave the old host. */
export const ONE_TIME_KEY = "one-time-key-Jx8Qv2";

/** Media ids of local uploads: length by the row, and whether there is a hash. */
export const UPLOADS = ["AAaaFirstUpload", "BBbbSecondUpload", "CCccThirdUpload"] as const;
export const uploadBytes = (index: number) => noise(1000 * (index + 1), index + 1);

/** The few tables of Synapse that a move reads, with a little in each. */
export const MINI_TABLES = `
create table schema_version (lock char(1) default 'X' primary key, version integer not null, upgraded boolean not null);
insert into schema_version values ('X', 92, false);
create table schema_compat_version (lock char(1) default 'X' primary key, compat_version integer not null);
insert into schema_compat_version values ('X', 86);
create table users (name text primary key, password_hash text, admin smallint not null default 0);
insert into users select '@user' || n || ':example.org', '$2b$12$secret-hash', 0 from generate_series(1, 20) n;
create table rooms (room_id text primary key, creator text);
insert into rooms values ('!one:example.org', '@user1:example.org');
create table events (stream_ordering bigint primary key, event_id text not null unique, content text not null);
insert into events select n, '$event' || n, E'said:\\t\\\\ ''quoted'' \\n and ünïcödé 🦊 ' || (select string_agg(md5(n || '/' || i), '') from generate_series(1, 10) i) from generate_series(1, 500) n;
create sequence events_stream_seq;
select setval('events_stream_seq', 500);
create sequence never_used_seq;
create table stream_positions (stream_name text not null, instance_name text not null, stream_id bigint not null, unique (stream_name, instance_name));
insert into stream_positions values ('events', 'master', 500), ('backfill', 'master', -12);
create table e2e_one_time_keys_json (user_id text not null, device_id text not null, algorithm text not null, key_id text not null, key_json text not null, unique (user_id, device_id, algorithm, key_id));
insert into e2e_one_time_keys_json values ('@user1:example.org', 'D', 'signed_curve25519', 'AAA', '${ONE_TIME_KEY}');
create table local_media_repository (media_id text unique, media_type text, media_length integer, upload_name text, url_cache text, quarantined_by text, sha256 text, user_id text default '@alice:example.org', created_ts bigint default 1767225600000);
insert into local_media_repository (media_id, media_type, media_length, url_cache) values
  ('PPppPending', null, null, null), ('2026-01-02_preview', 'image/png', 77, 'https://example.com');
create table local_media_repository_thumbnails (media_id text, thumbnail_width integer);
insert into local_media_repository_thumbnails values ('${UPLOADS[0]}', 32), ('2026-01-02_preview', 32);
create table local_media_repository_url_cache (url text, media_id text);
insert into local_media_repository_url_cache values ('https://example.com', '2026-01-02_preview');
create table remote_media_cache (media_origin text, media_id text, media_length integer, quarantined_by text, filesystem_id text, created_ts bigint, last_access_ts bigint, sha256 text, unique (media_origin, media_id));
insert into remote_media_cache (media_origin, media_id, media_length, quarantined_by) values ('far.example', 'remote', 10, null), ('far.example', 'bad', 10, '@user1:example.org');
create table destinations (destination text primary key, retry_last_ts bigint, retry_interval bigint, failure_ts bigint, last_successful_stream_ordering bigint);
create table remote_media_cache_thumbnails (media_origin text, media_id text, thumbnail_width integer);
insert into remote_media_cache_thumbnails values ('far.example', 'remote', 32), ('far.example', 'bad', 32);`;

/** A database that a move accepts as Synapse's, owned by a role that may create databases. */
export async function makeMiniSynapse(cluster: PostgresCluster, name: string): Promise<PostgresAddress> {
  await cluster.sql(
    "postgres",
    `do $$ begin if not exists (select from pg_roles where rolname = 'mover') then create role mover login createdb; end if; end $$`,
  );
  await cluster.createDatabase(name, { owner: "mover" });
  const uploads = UPLOADS.map((id, index) => `('${id}', 'image/png', ${uploadBytes(index).length})`);
  await cluster.sql(
    name,
    `set role mover; ${MINI_TABLES} insert into local_media_repository (media_id, media_type, media_length) values ${uploads.join(", ")};`,
  );
  return addressIn(cluster, name);
}

export const addressIn = (
  { address: { host, port } }: PostgresCluster,
  dbname: string,
  user = "mover",
): PostgresAddress => ({
  parameters: { host, port: String(port), user, dbname },
});

/** How many tables, sequences and indexes somebody made in a database. */
export const relationsIn = async (cluster: PostgresCluster, database: string) =>
  Number(
    await cluster.sql(
      database,
      "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where nspname not like 'pg%' and nspname <> 'information_schema'",
    ),
  );
