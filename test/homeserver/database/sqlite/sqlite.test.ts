import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { MigrationError } from "../../../../src/errors.ts";
import { targetDatabaseFindings } from "../../../../src/homeserver/database/checks/target-findings.ts";
import { makeFileReadOnly } from "../../../../src/homeserver/database/fence.ts";
import { fileMarker } from "../../../../src/homeserver/database/file-state.ts";
import { databaseSectionSchema } from "../../../../src/homeserver/database/section.ts";
import { inspectSqliteTarget, restoreSqlite } from "../../../../src/homeserver/database/sqlite/restore.ts";
import { verifyDatabaseFile } from "../../../../src/homeserver/database/sqlite/verify-file.ts";
import { assertSameEngine, sqlitePathIn } from "../../../../src/homeserver/database/target.ts";
import { packTar } from "../../../../src/pipeline/tar.ts";
import type { Bytes } from "../../../../src/system/bytes.ts";
import { realFiles as files } from "../../../../src/system/files/files.ts";
import { realSqlite } from "../../../../src/system/sqlite/sqlite.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { rowsIn } from "../../../support/old-sqlite.ts";

const sqlite = realSqlite(files, new AbortController().signal);

/** The tables that a restore touches, and one that it does not. */
const TABLES = `
  CREATE TABLE users (name TEXT);
  CREATE TABLE e2e_one_time_keys_json (user_id TEXT);
  CREATE TABLE remote_media_cache (media_origin TEXT, media_id TEXT, quarantined_by TEXT);
  CREATE TABLE remote_media_cache_thumbnails (media_origin TEXT, media_id TEXT);
  CREATE TABLE local_media_repository (media_id TEXT, url_cache TEXT);
  CREATE TABLE local_media_repository_thumbnails (media_id TEXT);
  CREATE TABLE local_media_repository_url_cache (url TEXT);
  INSERT INTO users VALUES ('@a:old.example');
  INSERT INTO e2e_one_time_keys_json VALUES ('@a:old.example');
  INSERT INTO remote_media_cache VALUES ('far', 'kept', '@a:old.example'), ('far', 'gone', NULL);
  INSERT INTO remote_media_cache_thumbnails VALUES ('far', 'kept'), ('far', 'gone');
  INSERT INTO local_media_repository VALUES ('upload', NULL), ('preview', 'https://far');
  INSERT INTO local_media_repository_thumbnails VALUES ('upload'), ('preview');
  INSERT INTO local_media_repository_url_cache VALUES ('https://far');
`;

function databaseBytes(sql = TABLES): Buffer {
  const path = join(temporaryFolder("sqlite"), "source.db");
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
  return readFileSync(path);
}

const archiveOf = (content: Uint8Array, name = "homeserver.db"): Bytes =>
  packTar([
    {
      ...{ name, size: content.length, mode: 0o600, mtimeMs: 0 },
      content: async function* () {
        yield await Promise.resolve(content);
      },
    },
  ]);

const restoreTo = (path: string, archive: Bytes, owner?: { uid: number; gid: number }) =>
  restoreSqlite(path, archive, { sqlite, files, owner });
const failsWith = (code: string) => (error: unknown) =>
  error instanceof MigrationError && error.code === code;

test("a restored file is the owner's alone, and holds nothing that stays behind", async () => {
  const folder = join(temporaryFolder("target"), "made");
  const path = join(folder, "homeserver.db");
  await restoreTo(path, archiveOf(databaseBytes()), { uid: 1234, gid: 1234 });
  assert.deepEqual(Object.fromEntries(rowsIn(path)), {
    users: 1,
    e2e_one_time_keys_json: 0,
    remote_media_cache: 1,
    remote_media_cache_thumbnails: 1,
    local_media_repository: 1,
    local_media_repository_thumbnails: 1,
    local_media_repository_url_cache: 0,
  });
  const { mode, uid } = statSync(path);
  assert.deepEqual([mode & 0o777, uid, statSync(folder).uid], [0o600, 1234, 1234]);
  assert.deepEqual(readdirSync(folder), ["homeserver.db"]);
  const account = { uid: 1234, name: "synapse" };
  assert.equal((await verifyDatabaseFile(path, account, files)).level, "ok");
});

test("what a killed run has left is begun anew, and is in nobody's way", async () => {
  const folder = temporaryFolder("target");
  const path = join(folder, "homeserver.db");
  writeFileSync(`${path}.restoring`, "half");
  writeFileSync(`${path}.restoring-journal`, "of an older run");
  await assert.rejects(inspectSqliteTarget(path, { begun: false }, files), failsWith("target-not-empty"));
  await restoreTo(path, archiveOf(databaseBytes()));
  assert.equal(rowsIn(path).get("users"), 1);
  assert.deepEqual(readdirSync(folder), ["homeserver.db"]);
});

test("nothing is written over, also when it came while the file was filled", async () => {
  const folder = temporaryFolder("target");
  const path = join(folder, "homeserver.db");
  const late = async function* (): Bytes {
    yield* archiveOf(databaseBytes());
    writeFileSync(path, "somebody's");
  };
  await assert.rejects(restoreTo(path, late()), failsWith("target-not-empty"));
  assert.equal(readFileSync(path, "utf8"), "somebody's");
});

for (const [what, archive, code] of [
  ["an archive that ends early", () => cutOff(archiveOf(databaseBytes())), "bundle-damaged"],
  ["an archive of something else", () => archiveOf(databaseBytes(), "other.db"), "bundle-damaged"],
  ["an archive of nothing", () => packTar([]), "bundle-damaged"],
  ["a file that is no database", () => archiveOf(Buffer.from("no database at all")), "restore-failed"],
  ["a database with a damaged page", () => archiveOf(damaged(databaseBytes())), "restore-failed"],
] as const) {
  test(`${what} leaves nothing behind`, async () => {
    const folder = temporaryFolder("target");
    await assert.rejects(restoreTo(join(folder, "homeserver.db"), archive()), failsWith(code));
    assert.deepEqual(readdirSync(folder), []);
  });
}

async function* cutOff(archive: Bytes): Bytes {
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk);
  yield Buffer.concat(chunks).subarray(0, 3000);
}

/** The page of the first table: what SQLite reads there is no page of a table. */
function damaged(bytes: Buffer): Buffer {
  const pageSize = bytes.readUInt16BE(16);
  return Buffer.from(bytes).fill(0xff, pageSize, pageSize + 100);
}

test("the marker changes with what is written, beside the file too, and not by closing the file to writing", async () => {
  const path = join(temporaryFolder("marker"), "homeserver.db");
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (x); PRAGMA wal_checkpoint(TRUNCATE)");
  const first = await fileMarker(path, files);
  await makeFileReadOnly(path, files);
  assert.equal(statSync(path).mode & 0o222, 0);
  assert.equal(await fileMarker(path, files), first);
  const session = await sqlite.connect(path);
  await session.all("SELECT * FROM t");
  await session.close();
  assert.equal(await fileMarker(path, files), first, "reading it is no change");
  database.exec("INSERT INTO t VALUES (1)");
  const second = await fileMarker(path, files);
  assert.notEqual(second, first);
  database.exec("INSERT INTO t VALUES (2)");
  assert.notEqual(await fileMarker(path, files), second);
  database.close();
  // A write that keeps size and time, such as one within the precision of the file system's clock.
  const quiet = new DatabaseSync(path);
  quiet.exec("PRAGMA journal_mode = DELETE");
  utimesSync(path, 1_700_000_000, 1_700_000_000);
  const third = await fileMarker(path, files);
  quiet.exec("UPDATE t SET x = 3 WHERE x = 1");
  utimesSync(path, 1_700_000_000, 1_700_000_000);
  assert.notEqual(await fileMarker(path, files), third);
  quiet.close();
});

test("a database that its server cannot use, or that others may read, does not pass", async () => {
  const folder = join(temporaryFolder("gate"), "data");
  mkdirSync(folder, { mode: 0o700 });
  const path = join(folder, "homeserver.db");
  const gate = async () => {
    const { level, evidence = [] } = await verifyDatabaseFile(path, { uid: 1234, name: "synapse" }, files);
    return [level, ...evidence.map((line) => line.replaceAll(folder, ""))];
  };
  const beside = " belongs to user id 0 and has mode 0700: no -wal can be made there";
  assert.deepEqual(await gate(), ["blocker", "/homeserver.db does not exist", beside]);
  writeFileSync(path, "", { mode: 0o600 });
  assert.deepEqual(await gate(), ["blocker", "/homeserver.db belongs to user id 0", beside]);
  for (const one of [path, folder]) chownSync(one, 1234, 1234);
  assert.deepEqual(await gate(), ["ok"]);
  for (const [mode, complaint] of [
    [0o400, "has mode 0400, its owner may not read and write it"],
    [0o644, "has mode 0644, others may read it or write to it"],
  ] as const) {
    chmodSync(path, mode);
    assert.deepEqual(await gate(), ["blocker", `/homeserver.db ${complaint}`]);
  }
});

test("sqlite:PATH is a file, from the folder that one is in", () => {
  assert.equal(sqlitePathIn("sqlite:/srv/a.db", "/here"), "/srv/a.db");
  assert.equal(sqlitePathIn("sqlite:data/a b.db", "/here"), "/here/data/a b.db");
  assert.equal(sqlitePathIn("host=sqlite: dbname=a", "/here"), undefined);
  for (const odd of ["sqlite:", "sqlite:/srv/", "sqlite:///srv/a.db"])
    assert.throws(() => sqlitePathIn(odd, "/here"), failsWith("bad-usage"));
});

test("a database only goes to its own engine, and a bundle that does not say which is of PostgreSQL", () => {
  const empty = { rows: {}, staying: {}, leftOut: {}, sequences: {}, streams: {} };
  const old = databaseSectionSchema.parse({
    ...empty,
    ...{ serverVersion: 150_000, schemaVersion: 92, compatVersion: 86 },
  });
  assert.equal(old.engine, "postgres");
  const postgres = { engine: "postgres", address: { parameters: { dbname: "new" } } } as const;
  const file = { engine: "sqlite", path: "/srv/new.db" } as const;
  assertSameEngine(old, postgres);
  assertSameEngine({ engine: "sqlite" }, file);
  assert.throws(() => {
    assertSameEngine(old, file);
  }, failsWith("target-unsuitable"));
  assert.throws(() => {
    assertSameEngine({ engine: "sqlite" }, postgres);
  }, /the bundle is SQLite, but .*new on the local socket/);
  assert.equal(existsSync("/srv/new.db"), false);
});

test("plan asks a database of PostgreSQL for SQLite too, which arrives there by a port", async () => {
  const nobody = new MigrationError("database-unreachable", "nobody is there");
  const findings = await targetDatabaseFindings(
    { parameters: { host: "127.0.0.1", dbname: "new" } },
    { engine: "sqlite", serverVersion: 0 },
    { connect: () => Promise.reject(nobody) },
  );
  assert.deepEqual(
    findings.map(({ id, level, sentence }) => [id, level, sentence]),
    [["target-database-unreachable", "warning", "nobody is there"]],
  );
});
