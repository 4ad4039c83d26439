import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { inspectForPort } from "../../../../src/homeserver/database/port/inspect.ts";
import {
  deleteOrphans,
  holdSelfReferences,
  putBackStatements,
  readCopy,
  replaceNulBytes,
} from "../../../../src/homeserver/database/port/mend.ts";
import { comparePorted, countForPort } from "../../../../src/homeserver/database/port/verify.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { realSqlite } from "../../../../src/system/sqlite/sqlite.ts";
import { change } from "../../../support/old-sqlite.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";

const sqlite = realSqlite(realFiles, new AbortController().signal);

/** As Synapse makes them, as far as the checks go by them. */
const TABLES = `
  CREATE TABLE background_updates (update_name TEXT, progress_json TEXT, depends_on TEXT, ordering INT DEFAULT 0);
  CREATE TABLE users (name TEXT PRIMARY KEY);
  CREATE TABLE profiles (user_id TEXT, displayname TEXT, n BIGINT);
  CREATE TABLE events (event_id TEXT PRIMARY KEY, room_id TEXT, content BLOB);
  CREATE VIRTUAL TABLE event_search USING fts4 (event_id, room_id, sender, key, value);
  CREATE TABLE ui_auth_sessions (session_id TEXT PRIMARY KEY, n INT REFERENCES ui_auth_sessions (session_id));
  CREATE TABLE refresh_tokens (id BIGINT PRIMARY KEY, token TEXT, next_token_id BIGINT REFERENCES refresh_tokens (id) ON DELETE CASCADE);
  CREATE TABLE access_tokens (id BIGINT PRIMARY KEY, token TEXT, refresh_token_id BIGINT REFERENCES refresh_tokens (id) ON DELETE CASCADE);
`;

function copyWith(plant = "", { foreignKeys = false } = {}): string {
  const path = join(temporaryFolder("port"), "homeserver.db");
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: foreignKeys });
  database.exec(TABLES + plant);
  database.close();
  return path;
}

const faultsOf = async (path: string) =>
  (await readCopy(path, sqlite, inspectForPort)).map(({ fix, finding }) => ({
    fix,
    evidence: finding.evidence,
  }));

function valuesOf(path: string, sql: string): unknown[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database
      .prepare(sql)
      .all()
      .map((row) => Object.values(row))
      .flat();
  } finally {
    database.close();
  }
}

test("a sound database has no fault", async () => {
  assert.deepEqual(await faultsOf(copyWith("INSERT INTO users VALUES ('@a:b')")), []);
});

test("a pending update, and tables of others with rows, are named; empty ones do not matter", async () => {
  const path = copyWith(`INSERT INTO background_updates (update_name) VALUES ('one'), ('other');
    CREATE TABLE guestbook (n); INSERT INTO guestbook VALUES (1), (2); CREATE TABLE empty (n)`);
  assert.deepEqual(await faultsOf(path), [
    { fix: "pending-updates", evidence: ["one", "other"] },
    { fix: "unknown-tables", evidence: ["guestbook: 2 rows"] },
  ]);
});

test("auto_vacuum is found, and the file can be rebuilt without it, with every row", async () => {
  const path = copyWith("INSERT INTO users VALUES ('@a:b'); PRAGMA auto_vacuum = 2; VACUUM");
  assert.deepEqual(
    (await faultsOf(path)).map(({ fix }) => fix),
    ["auto-vacuum"],
  );
  await sqlite.rebuild(path);
  assert.deepEqual(await faultsOf(path), []);
  assert.deepEqual(valuesOf(path, "SELECT name FROM users"), ["@a:b"]);
});

test("NUL characters are counted by column and become spaces, at every place of a text; bytes stay as they are", async () => {
  const nul = "char(0)";
  const path = copyWith(`
    INSERT INTO profiles VALUES ('@a:b', ${nul}, 1), ('@b:b', 'ü' || ${nul} || ${nul} || '日本' || ${nul}, 2), ('@c:b', 'no', 3), ('@d:b', NULL, 4);
    INSERT INTO events VALUES ('$1', '!r', x'00ff00');
    INSERT INTO event_search VALUES ('$1', '!r', '@a:b', 'content.body', 'say' || ${nul} || 'it');
    INSERT INTO ui_auth_sessions VALUES ('x' || ${nul}, NULL)`);
  assert.deepEqual(await faultsOf(path), [
    { fix: "nul-bytes", evidence: ["profiles.displayname: 2 rows", "event_search.value: 1 rows"] },
  ]);
  assert.equal((await replaceNulBytes(path, sqlite)).get("profiles.displayname"), 2);
  assert.deepEqual(await faultsOf(path), []);
  assert.deepEqual(valuesOf(path, "SELECT displayname FROM profiles ORDER BY n"), [
    " ",
    "ü  日本 ",
    "no",
    null,
  ]);
  assert.deepEqual(valuesOf(path, "SELECT hex(content) FROM events"), ["00FF00"]);
  assert.deepEqual(valuesOf(path, "SELECT value FROM event_search WHERE event_search MATCH 'say'"), [
    "say it",
  ]);
});

test("rows that refer to nothing are deleted with what refers to them, and nothing else", async () => {
  const path = copyWith(`
    INSERT INTO refresh_tokens VALUES (1, 'a', 2), (2, 'b', NULL), (3, 'c', 99), (4, 'd', 3);
    INSERT INTO access_tokens VALUES (1, 'x', 2), (2, 'y', 3), (3, 'z', NULL), (4, 'v', 77);
    INSERT INTO ui_auth_sessions VALUES ('s', 5)`);
  assert.deepEqual(await faultsOf(path), [
    {
      fix: "orphans",
      evidence: [
        "refresh_tokens: the row of refresh_tokens is missing, 1",
        "access_tokens: the row of refresh_tokens is missing, 1",
      ],
    },
  ]);
  await deleteOrphans(path, sqlite);
  assert.deepEqual(await faultsOf(path), []);
  assert.deepEqual(valuesOf(path, "SELECT id FROM refresh_tokens ORDER BY 1"), [1, 2]);
  assert.deepEqual(valuesOf(path, "SELECT id FROM access_tokens ORDER BY 1"), [1, 3]);
});

test("references within a table are taken out, and the statements put each back", async () => {
  const path = copyWith(
    "INSERT INTO refresh_tokens VALUES (1, 'a', 2), (2, 'b', 9007199254740993), (9007199254740993, 'it''s', NULL)",
  );
  const held = await holdSelfReferences(path, sqlite);
  assert.deepEqual(held, [
    {
      table: "refresh_tokens",
      column: "next_token_id",
      key: "id",
      pairs: [
        ["1", "2"],
        ["2", "9007199254740993"],
      ],
    },
  ]);
  assert.deepEqual(valuesOf(path, "SELECT count(next_token_id) FROM refresh_tokens"), [0]);
  change(path, putBackStatements(held).join("\n"));
  assert.deepEqual(valuesOf(path, "SELECT CAST(next_token_id AS TEXT) FROM refresh_tokens ORDER BY id"), [
    "2",
    "9007199254740993",
    null,
  ]);
});

test("damage is the only fault that is told, and nothing mends it", async () => {
  const path = copyWith(
    `INSERT INTO profiles SELECT '@' || value, hex(randomblob(500)), 1 FROM generate_series(1, 200)`.replace(
      "generate_series(1, 200)",
      "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 200) SELECT value FROM n)",
    ),
  );
  const bytes = Buffer.from(await realFiles.readWhole(path));
  bytes.fill(0xff, bytes.length - 40_000, bytes.length - 30_000);
  await realFiles.writeAtomically(path, bytes);
  const faults = await faultsOf(path);
  assert.deepEqual(
    faults.map(({ fix }) => fix),
    [undefined],
  );
});

test("of the search index only rows with an event are expected, as the script joins them", async () => {
  const path = copyWith(`INSERT INTO events VALUES ('$1', '!r', NULL), ('$2', '!r', NULL);
    INSERT INTO event_search VALUES ('$1', '!r', 'a', 'k', 'v'), ('$gone', '!r', 'a', 'k', 'v'), ('$2', '!other', 'a', 'k', 'v')`);
  const rows = await readCopy(path, sqlite, countForPort);
  assert.equal(rows["event_search"], 1);
  assert.equal(rows["events"], 2);
});

const SOURCE = {
  users: 3,
  events: 100,
  schema_version: 1,
  ui_auth_sessions: 2,
  user_directory: 9,
  event_search_content: 5,
  user_directory_stream_pos: 1,
};
const TARGET = {
  users: 3,
  events: 100,
  schema_version: 1,
  ui_auth_sessions: 0,
  user_directory: 0,
  applied_schema_deltas: 80,
  user_directory_stream_pos: 1,
  instance_map: 0,
};

test("every table but the documented exceptions must have the same rows", () => {
  const findings = comparePorted({ ...SOURCE, applied_schema_deltas: 15 }, TARGET);
  assert.deepEqual(
    findings.map(({ id, level }) => `${id} ${level}`),
    ["port-rows ok", "port-not-copied note"],
  );
  assert.deepEqual(findings[1]!.evidence, ["ui_auth_sessions: 2 rows", "user_directory: 9 rows"]);
});

for (const [what, source, target, says] of [
  ["a row too few", {}, { events: 99 }, "events: 100 expected, 99 found"],
  ["a row too many", {}, { users: 4 }, "users: 3 expected, 4 found"],
  ["an empty table", {}, { events: 0 }, "events: 100 expected, 0 found"],
  ["a table that the new database does not have", { rooms: 1 }, {}, "rooms: 1 expected, no such table found"],
  ["rows that SQLite does not have", {}, { instance_map: 1 }, "instance_map: not in SQLite, 1 found"],
] as const)
  test(`${what} is never a success`, () => {
    const [finding] = comparePorted(
      { ...SOURCE, applied_schema_deltas: 15, ...source },
      { ...TARGET, ...target },
    );
    assert.deepEqual([finding!.level, finding!.evidence], ["blocker", [says]]);
  });
