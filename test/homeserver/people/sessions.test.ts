import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import {
  countSessions,
  endSessions,
  forgetSessions,
  readRecordedEnd,
  readSessionSchema,
  restorableSessions,
  restoreSessions,
  type SessionEnd,
  unknownAccounts,
} from "../../../src/homeserver/people/sessions.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { realSqlite } from "../../../src/system/sqlite/sqlite.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

// What ends, what stays, and that the undo restores it exactly; on a real Synapse and on PostgreSQL in test/e2e/users.test.ts.

const sqlite = realSqlite(realFiles, new AbortController().signal);
const AT = 1_800_000_000_000;
const SECRET = "a-secret-of-this-test";

/** The columns as Synapse 1.163 has them, as far as sessions go. */
const TABLES = `
CREATE TABLE users (name TEXT, is_guest SMALLINT DEFAULT 0 NOT NULL, appservice_id TEXT);
CREATE TABLE access_tokens (id BIGINT PRIMARY KEY, user_id TEXT NOT NULL, device_id TEXT, token TEXT NOT NULL UNIQUE, valid_until_ms BIGINT);`;
const LATER = `
CREATE TABLE refresh_tokens (id BIGINT PRIMARY KEY, user_id TEXT NOT NULL, device_id TEXT NOT NULL, token TEXT NOT NULL UNIQUE, expiry_ts BIGINT);
CREATE TABLE pushers (id BIGINT PRIMARY KEY, user_name TEXT NOT NULL, kind TEXT NOT NULL, enabled BOOLEAN);`;

const ROWS = `
INSERT INTO users VALUES ('@alice:example.org', 0, NULL), ('@bob:example.org', 0, ''), ('@o''brien:example.org', 0, NULL),
  ('@_irc_carol:example.org', 0, 'irc'), ('@1:example.org', 1, NULL);
INSERT INTO access_tokens VALUES
  (1, '@alice:example.org', 'PHONE', 'syt_1', NULL), (2, '@alice:example.org', 'WEB', 'syt_2', ${AT + 5}),
  (3, '@bob:example.org', 'OLD', 'syt_3', 7), (4, '@o''brien:example.org', 'BOT', 'syt_4', NULL),
  (5, '@_irc_carol:example.org', NULL, 'syt_5', NULL), (6, '@1:example.org', 'GUEST', 'syt_6', NULL);`;
const MORE_ROWS = `
INSERT INTO refresh_tokens VALUES (1, '@alice:example.org', 'WEB', 'syr_1', NULL), (2, '@bob:example.org', 'OLD', 'syr_2', 9);
INSERT INTO pushers VALUES (1, '@alice:example.org', 'http', 1), (2, '@alice:example.org', 'email', 1),
  (3, '@bob:example.org', 'http', 0), (4, '@bob:example.org', 'http', NULL), (5, '@_irc_carol:example.org', 'http', 1);`;

interface Database {
  readonly path: string;
  rows(table: string): readonly Record<string, unknown>[];
  sql(statements: string): void;
}

function database(statements: string): Database {
  const path = join(temporaryFolder("sessions"), "homeserver.db");
  const using = <T>(act: (one: DatabaseSync) => T): T => {
    const one = new DatabaseSync(path);
    try {
      return act(one);
    } finally {
      one.close();
    }
  };
  using((one) => {
    one.exec(statements);
  });
  return {
    path,
    rows: (table) =>
      using((one) => one.prepare(`SELECT * FROM ${table} ORDER BY id`).all()).map((row) => ({ ...row })),
    sql: (more) => {
      using((one) => {
        one.exec(more);
      });
    },
  };
}

async function look<T>(
  { path }: Database,
  act: (session: Awaited<ReturnType<typeof sqlite.connect>>) => Promise<T>,
): Promise<T> {
  const session = await sqlite.connect(path);
  return act(session).finally(() => session.close());
}

async function end(db: Database, way: SessionEnd, keep: readonly string[] = []) {
  const whose = { keep };
  const schema = await look(db, readSessionSchema);
  const counts = await look(db, (session) => countSessions(session, { end: way, at: AT, whose }, schema));
  const { accounts } = counts;
  await sqlite.execute(db.path, endSessions({ end: way, at: AT, whose, secret: SECRET, accounts }, schema));
  return counts;
}

async function undo(db: Database) {
  const schema = await look(db, readSessionSchema);
  const recorded = await look(db, readRecordedEnd);
  const restorable = await look(db, (session) => restorableSessions(session, recorded));
  await sqlite.execute(db.path, restoreSessions(recorded, schema));
  return { recorded, restorable };
}

test("soft: tokens of people expire, those that had expired stay as they are, and bridges and guests are left alone", async () => {
  const db = database(TABLES + LATER + ROWS + MORE_ROWS);
  const counts = await end(db, "soft", ["@o'brien:example.org"]);
  assert.deepEqual(counts, {
    accounts: 1,
    accessTokens: 2,
    refreshTokens: 1,
    pushers: 0,
    left: { appservices: 1, guests: 1, kept: 1 },
  });
  assert.deepEqual(
    db.rows("access_tokens").map(({ token, valid_until_ms }) => [token, valid_until_ms]),
    [
      ["syt_1", AT],
      ["syt_2", AT],
      ["syt_3", 7],
      ["syt_4", null],
      ["syt_5", null],
      ["syt_6", null],
    ],
  );
  assert.deepEqual(
    db.rows("refresh_tokens").map(({ expiry_ts }) => expiry_ts),
    [AT, 9],
  );
});

for (const way of ["soft", "hard"] as const)
  test(`${way}: the undo restores every row to the byte, and leaves nothing behind`, async () => {
    const db = database(TABLES + LATER + ROWS + MORE_ROWS);
    const before = ["access_tokens", "refresh_tokens", "pushers"].map((table) => db.rows(table));
    const { accounts, accessTokens, refreshTokens, pushers } = await end(db, way);
    assert.notDeepEqual(db.rows("access_tokens"), before[0]);
    const { recorded, restorable } = await undo(db);
    assert.deepEqual(recorded, {
      end: way,
      at: AT,
      counts: { accounts, accessTokens, refreshTokens, pushers },
    });
    assert.equal(restorable, accessTokens);
    const after = ["access_tokens", "refresh_tokens", "pushers"].map((table) => db.rows(table));
    // What had no value for enabled has the one that Synapse takes it for.
    const enabled = before[2]!.map((row) => (row["id"] === 4 ? { ...row, enabled: 1 } : row));
    assert.deepEqual(after, [before[0], before[1], way === "hard" ? enabled : before[2]]);
    assert.equal((await look(db, readSessionSchema)).isRecorded, false);
  });

test("hard: no token that was known is valid, the new ones have expired, and mail is still sent", async () => {
  const db = database(TABLES + LATER + ROWS + MORE_ROWS);
  const counts = await end(db, "hard");
  assert.deepEqual(
    [counts.accounts, counts.accessTokens, counts.refreshTokens, counts.pushers],
    [3, 4, 2, 2],
  );
  const ended = db.rows("access_tokens").filter(({ id }) => Number(id) <= 4);
  for (const { token, valid_until_ms } of ended) {
    assert.match(String(token), new RegExp(`^ended_${SECRET}_\\d$`));
    assert.equal(valid_until_ms, AT);
  }
  assert.deepEqual(
    db.rows("pushers").map(({ enabled }) => enabled),
    [0, 1, 0, 0, 1],
  );
});

test("what Synapse removed or gave anew since is left as it is by the undo", async () => {
  const db = database(TABLES + LATER + ROWS + MORE_ROWS);
  await end(db, "hard");
  db.sql(`DELETE FROM access_tokens WHERE id IN (1, 4);
    INSERT INTO access_tokens VALUES (4, '@bob:example.org', 'NEW', 'syt_new', NULL);`);
  const { restorable } = await undo(db);
  assert.equal(restorable, 2);
  assert.deepEqual(
    db.rows("access_tokens").map(({ id, token }) => `${String(id)} ${String(token)}`),
    ["2 syt_2", "3 syt_3", "4 syt_new", "5 syt_5", "6 syt_6"],
  );
});

test("a schema without refresh tokens and without a switch for pushers does as well", async () => {
  const db = database(
    `${TABLES}CREATE TABLE pushers (id BIGINT PRIMARY KEY, user_name TEXT, kind TEXT);${ROWS}`,
  );
  const before = db.rows("access_tokens");
  const { refreshTokens, pushers } = await end(db, "hard");
  assert.deepEqual([refreshTokens, pushers], [0, 0]);
  await undo(db);
  assert.deepEqual(db.rows("access_tokens"), before);
});

test("an end that was made final cannot be undone any more", async () => {
  const db = database(TABLES + ROWS);
  await end(db, "soft");
  await sqlite.execute(db.path, forgetSessions());
  assert.equal((await look(db, readSessionSchema)).isRecorded, false);
  assert.equal(db.rows("access_tokens")[0]!["valid_until_ms"], AT);
});

test("accounts that do not exist are named, whatever their name does to SQL", async () => {
  const db = database(TABLES + ROWS);
  const names = ["@alice:example.org", "@o'brien:example.org", "@x:y'); DROP TABLE users; --"];
  assert.deepEqual(await look(db, (session) => unknownAccounts(session, names)), [names[2]]);
});
