// Made test/vectors/v1/sqlite, once: node test/vectors/make-sqlite.ts. It refuses to run again.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { Inventory } from "../../src/bundle/inventory.ts";
import { seal } from "../../src/bundle/seal.ts";
import { exportSqlite } from "../../src/homeserver/database/sqlite/export.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { noProgress } from "../../src/system/progress.ts";
import { realSqlite } from "../../src/system/sqlite/sqlite.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith, programsWith } from "../support/real-world.ts";
import { MEDIA_PLAN, mediaArchive, still, writerIn } from "../support/small-bundle.ts";

const root = fileURLToPath(new URL("v1/sqlite/", import.meta.url));
if (existsSync(root)) throw new Error(`${root} is there already: a vector is never made again`);

process.umask(0o022);
const folder = join(root, "bundle");
mkdirSync(folder, { recursive: true });
const path = join(temporaryFolder("vector"), "old.db");
// Left open, with what is not in the file yet beside it, as a server leaves it.
const server = new DatabaseSync(path);
server.exec(`
  PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
  CREATE TABLE schema_version (version INTEGER);
  CREATE TABLE schema_compat_version (compat_version INTEGER);
  CREATE TABLE stream_positions (stream_name TEXT, instance_name TEXT, stream_id BIGINT);
  CREATE TABLE users (name TEXT);
  CREATE TABLE e2e_one_time_keys_json (user_id TEXT, key_json TEXT);
  CREATE TABLE remote_media_cache (media_origin TEXT, media_id TEXT, quarantined_by TEXT);
  CREATE TABLE remote_media_cache_thumbnails (media_origin TEXT, media_id TEXT);
  CREATE TABLE local_media_repository (media_id TEXT, media_length INTEGER, url_cache TEXT);
  CREATE TABLE local_media_repository_thumbnails (media_id TEXT);
  CREATE TABLE local_media_repository_url_cache (url TEXT);
  INSERT INTO schema_version VALUES (94);
  INSERT INTO schema_compat_version VALUES (84);
  INSERT INTO users VALUES ('@alice:example.org');
  INSERT INTO remote_media_cache VALUES ('far.example', 'bad', '@alice:example.org'), ('far.example', 'seen', NULL);
  INSERT INTO e2e_one_time_keys_json VALUES ('@alice:example.org', '{}');
  PRAGMA wal_checkpoint;
  INSERT INTO users VALUES ('@bob:example.org');
`);
const programs = programsWith();
const lock = lockWith("these vectors must open for ever", programs);
const inventory = Inventory.begin(still, false);
const writer = writerIn(folder, lock, 600);
try {
  await exportSqlite({
    ...{ path, marker: "", inputs: {}, into: writer, inventory, programs, machine: still },
    folder: join(temporaryFolder("vector"), "bundle"),
    files: realFiles,
    progress: noProgress,
    sqlite: realSqlite(realFiles, new AbortController().signal),
    saved: () => Promise.resolve(),
    findFault: () => Promise.resolve(undefined),
  }).run();
} finally {
  server.close();
}
inventory.setArtifact(await writer.add(MEDIA_PLAN, mediaArchive(700)));
await seal({
  ...{ folder, inventory, keys: lock, files: realFiles, subject: "example.org", program: "synlift 0.1.0" },
  outageSince: "2026-01-02T03:00:00.000Z",
  afterwards: "What is to be done then is said here.\n",
});
writeFileSync(join(root, "expected.json"), `${JSON.stringify({ code: null }, null, 2)}\n`);
