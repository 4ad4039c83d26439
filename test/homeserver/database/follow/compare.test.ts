import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import type {
  Followed,
  WholeComparison,
} from "../../../../src/homeserver/database/follow/compare/comparison.ts";
import {
  assertOnlyWrittenBySynlift,
  compareAtCut,
  CUT_LIMITS,
  type CutLimits,
} from "../../../../src/homeserver/database/follow/compare/cut.ts";
import { verifyFollowed } from "../../../../src/homeserver/database/follow/compare/gate.ts";
import { readTables } from "../../../../src/homeserver/database/follow/compare/tables.ts";
import { compareWhole } from "../../../../src/homeserver/database/follow/compare/whole.ts";
import { noProgress } from "../../../../src/system/progress.ts";
import type { ConnectOptions, PostgresSession } from "../../../../src/system/postgres/postgres.ts";
import { PostgresCluster } from "../../../support/lab/postgres-cluster.ts";
import { postgres } from "../../../support/moved-database.ts";

// Two databases of one server stand for the old one and its copy: neither copies anything by itself, so every difference is made here.

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
});
after(() => cluster.stop());

const TABLES = `
  CREATE TABLE events (stream_ordering int8 UNIQUE, event_id text PRIMARY KEY, content text);
  CREATE TABLE event_json (event_id text UNIQUE, json text);
  CREATE TABLE state_groups_state (state_group int8, type text, event_id text);
  CREATE INDEX ON state_groups_state (state_group, type);
  CREATE TABLE presence (user_id text, state text);
  CREATE TABLE profiles (user_id text PRIMARY KEY, name text);
  CREATE UNLOGGED TABLE worker_locks (name text);
  INSERT INTO events SELECT n, '$' || n, repeat('x', 50) FROM generate_series(1, 500) n;
  INSERT INTO events SELECT -n, '$back' || n, repeat('x', 50) FROM generate_series(1, 10) n;
  INSERT INTO event_json SELECT event_id, content FROM events;
  INSERT INTO state_groups_state SELECT n / 3, 'm.room.member', '$' || n FROM generate_series(1, 600) n;
  INSERT INTO presence SELECT '@u' || n, 'online' FROM generate_series(1, 50) n;
  INSERT INTO profiles SELECT '@u' || n, 'name' FROM generate_series(1, 50) n;`;

beforeEach(async () => {
  await cluster.sql("postgres", 'DROP DATABASE IF EXISTS "old"');
  await cluster.sql("postgres", 'DROP DATABASE IF EXISTS "copy"');
  for (const name of ["old", "copy"]) {
    await cluster.createDatabase(name);
    await write(name, TABLES);
  }
  await write("old", "INSERT INTO worker_locks VALUES ('a lock')");
});

const connect = (dbname: string, options?: ConnectOptions) => (): Promise<PostgresSession> => {
  const { socketFolder: host, port, superuser: user } = cluster.address;
  return postgres.connect({ parameters: { host, port: String(port), user, dbname } }, options);
};
const sides = { old: connect("old"), copy: connect("copy") };
const follows = () => true;
const machine = { now: () => 0, elapsed: () => performance.now(), wait: () => Promise.resolve() };
const tools = { follows, machine, signal: new AbortController().signal, progress: noProgress };
const hold = { reach: () => Promise.resolve(), pause: () => Promise.resolve(() => Promise.resolve()) };

/** Writes to one of them, and returns once that is counted: a session tells what it has written as it ends, which psql does not wait for. */
async function write(database: string, sql: string): Promise<void> {
  await cluster.sql(database, sql);
  const left = `select count(*) from pg_stat_activity where datname = '${database}' and application_name = 'psql'`;
  while ((await cluster.sql("postgres", left)) !== "0")
    await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Something is written to both, as when the copy follows. */
async function both(sql: string): Promise<void> {
  await write("old", sql);
  await write("copy", sql);
}
const whole = (held: Partial<typeof hold> = {}) => compareWhole(sides, { ...hold, ...held }, tools);
/** As if all tables were large. */
const NOTHING_WHOLE: CutLimits = { digest: 0, count: 0 };
const cut = (before: WholeComparison, limits: CutLimits = CUT_LIMITS) =>
  compareAtCut(sides, before, { ...tools, limits });
const fails = (act: Promise<unknown>, sentence: RegExp) =>
  assert.rejects(act, { code: "comparison-failed", message: sentence });
const howOf = (tables: Readonly<Record<string, { how: string }>>) =>
  Object.fromEntries(Object.entries(tables).map(([name, { how }]) => [name.replace("public.", ""), how]));

test("a copy that has everything is equal in every table, and what no standby has is left out", async () => {
  const seen = await whole();
  assert.deepEqual(howOf(seen.tables), {
    event_json: "equal",
    events: "equal",
    presence: "equal",
    profiles: "equal",
    state_groups_state: "equal",
  });
  assert.equal(seen.tables["public.events"]?.rows, 510);
  const later = await cut(seen);
  assert.deepEqual(new Set(Object.values(howOf(later.tables))), new Set(["unchanged"]));
});

test("a row that is missing, a row more and a row with other content are found beforehand", async () => {
  await write("copy", "DELETE FROM profiles WHERE user_id = '@u7'");
  await fails(whole(), /public\.profiles: 50 rows on the old host, 49 here/);
  await write("copy", "INSERT INTO profiles VALUES ('@u7', 'another')");
  await fails(whole(), /public\.profiles: 50 rows on both sides, but their content differs/);
  await write("copy", "UPDATE profiles SET name = 'name' WHERE user_id = '@u7'; DROP TABLE presence");
  await fails(whole(), /public\.presence: no such table here/);
});

test("a table that is written to meanwhile may differ by what was written, and not by more", async () => {
  const writes = (sql: string) => ({
    pause: async () => {
      await write("old", sql);
      return () => Promise.resolve();
    },
  });
  const more = "INSERT INTO events SELECT n, '$' || n, '' FROM generate_series(501, 520) n;";
  const seen = await whole(writes(`${more} UPDATE presence SET state = 'away' WHERE user_id = '@u1'`));
  assert.equal(seen.tables["public.events"]?.how, "settled");
  assert.equal(seen.tables["public.presence"]?.how, "moved");
  assert.equal(seen.tables["public.profiles"]?.how, "equal");
  await write("copy", `${more} DELETE FROM presence WHERE user_id IN ('@u2', '@u3', '@u5')`);
  await fails(
    whole(writes("DELETE FROM presence WHERE user_id = '@u4'")),
    /only 1 rows were inserted or deleted/,
  );
});

test("what a session that stays connected wrote in the last second is counted before a difference is told", async () => {
  const writer = await connect("old", { writes: true })();
  const one = (state: string) => writer.run(`INSERT INTO presence VALUES ('@late', '${state}');`);
  let waits = 0;
  const wait = async () => {
    waits += 1;
    await writer.close();
    await write("old", "SELECT 1");
  };
  const pause = async () => {
    await one("one");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    // These two are counted now, the next ones a second later, or when the session ends (PGSTAT_MIN_INTERVAL, pgstat.c).
    for (const state of ["two", "three", "four"]) await one(state);
    return () => Promise.resolve();
  };
  const seen = await compareWhole(
    sides,
    { ...hold, pause },
    { ...tools, machine: { ...machine, wait } },
  ).finally(() => writer.close());
  assert.equal(seen.tables["public.presence"]?.how, "moved");
  assert.equal(waits, 1);
});

test("tables that a background update drops or makes again while all rows are compared are no difference", async () => {
  const temporary = (name: string) =>
    `CREATE TABLE ${name} (id int8 PRIMARY KEY); INSERT INTO ${name} SELECT generate_series(1, 9);`;
  const begin = async () => {
    for (const name of ["old", "copy"])
      await write(
        name,
        `DROP TABLE IF EXISTS _temp_a, _temp_b; ${temporary("_temp_a")} ${temporary("_temp_b")}`,
      );
  };
  const others = {
    event_json: "equal",
    events: "equal",
    presence: "equal",
    profiles: "equal",
    state_groups_state: "equal",
  };
  const sql = "DROP TABLE _temp_a; DROP TABLE _temp_b;";

  await begin();
  const onBoth = await whole({ pause: async () => (await both(sql), () => Promise.resolve()) });
  assert.deepEqual(howOf(onBoth.tables), others, "before the copy was held");

  await begin();
  const onOld = await whole({ pause: async () => (await write("old", sql), () => Promise.resolve()) });
  assert.deepEqual(howOf(onOld.tables), others, "after it");

  await begin();
  const again = `${sql} ${temporary("_temp_a")}`;
  const anew = await whole({ pause: async () => (await write("old", again), () => Promise.resolve()) });
  assert.deepEqual(howOf(anew.tables), { ...others, _temp_a: "settled" }, "made again");

  await begin();
  let isFirst = true;
  const dropping = async (): Promise<PostgresSession> => {
    const session = await connect("old")();
    const one = session.one.bind(session);
    session.one = async <Row>(query: string, settings?: Readonly<Record<string, string>>) => {
      if (isFirst && query.includes('FROM "public"."_temp_b"')) {
        isFirst = false;
        await both(sql);
      }
      return one<Row>(query, settings);
    };
    return session;
  };
  const first = await compareWhole({ ...sides, old: dropping }, hold, tools);
  assert.equal(isFirst, false);
  assert.deepEqual(howOf(first.tables), others, "before the position was read");

  await begin();
  await write("copy", sql);
  await fails(whole(), /_temp_a: no such table here; .*_temp_b: no such table here/);
});

test("at the cut-over only what was written to since is read, and of large tables the rows since", async () => {
  const before = await whole();
  await both(`
    INSERT INTO events SELECT n, '$' || n, 'new' FROM generate_series(501, 520) n;
    INSERT INTO events VALUES (-11, '$back11', 'new');
    INSERT INTO event_json SELECT event_id, content FROM events WHERE content = 'new';
    INSERT INTO state_groups_state VALUES (201, 'm.room.topic', '$1');
    UPDATE presence SET state = 'away' WHERE user_id = '@u1'`);
  const small = await cut(before);
  assert.deepEqual(howOf(small.tables), {
    event_json: "whole",
    events: "whole",
    presence: "whole",
    profiles: "unchanged",
    state_groups_state: "whole",
  });
  const large = await cut(before, NOTHING_WHOLE);
  assert.deepEqual(howOf(large.tables), {
    event_json: "recent",
    events: "recent",
    // No index tells its rows apart by age.
    presence: "counted",
    profiles: "unchanged",
    state_groups_state: "recent",
  });
  assert.equal(large.tables["public.events"]?.notSeen, 0);
  assert.equal(large.tables["public.event_json"]?.notSeen, 0);
  assert.equal(large.tables["public.presence"]?.notSeen, 1);
});

test("at the cut-over a row that did not arrive, or arrived with other content, is found in small and in large tables", async () => {
  const before = await whole();
  await write(
    "old",
    "INSERT INTO events VALUES (501, '$501', 'new'); INSERT INTO event_json VALUES ('$501', 'new')",
  );
  for (const limits of [CUT_LIMITS, NOTHING_WHOLE]) {
    await fails(cut(before, limits), /public\.events: .*\n?/);
    await fails(cut(before, limits), /public\.event_json: /);
  }
  await write(
    "copy",
    "INSERT INTO events VALUES (501, '$501', 'new'); INSERT INTO event_json VALUES ('$501', 'other')",
  );
  await fails(
    cut(before, NOTHING_WHOLE),
    /event_json: 1 rows on both sides, but their content differs, of those since/,
  );
  await write("copy", "UPDATE event_json SET json = 'new' WHERE event_id = '$501'");
  assert.equal((await cut(before, NOTHING_WHOLE)).tables["public.event_json"]?.how, "recent");
});

test("older rows that were changed are counted in all, and the result says how many were not compared one by one", async () => {
  const before = await whole();
  const change =
    "DELETE FROM state_groups_state WHERE state_group = 7; UPDATE events SET content = 'y' WHERE stream_ordering = 3";
  await both(change);
  const seen = await cut(before, { digest: 0, count: 1e9 });
  assert.equal(seen.tables["public.state_groups_state"]?.how, "counted");
  assert.equal(seen.tables["public.state_groups_state"].notSeen, 3);
  assert.equal(seen.tables["public.events"]?.notSeen, 1);
  await write("copy", "DELETE FROM state_groups_state WHERE state_group = 8");
  await fails(
    cut(before, { digest: 0, count: 1e9 }),
    /state_groups_state: 597 rows on the old host, 594 here/,
  );
});

test("a table that only one side has is named, also beside other differences", async () => {
  const before = await whole();
  await write("old", "CREATE TABLE added (x int); INSERT INTO profiles VALUES ('@new', '')");
  await write("copy", "CREATE TABLE mine (x int)");
  await fails(
    cut(before),
    /public\.added: no such table here; public\.mine: no such table on the old host; public\.profiles: /,
  );
});

test("counts that began anew on the old host prove nothing: everything is compared again, or counted", async () => {
  const before = await whole();
  await write("old", "SELECT pg_stat_reset()");
  const seen = await cut(before);
  assert.deepEqual(new Set(Object.values(howOf(seen.tables))), new Set(["whole"]));
  await write("copy", "UPDATE profiles SET name = 'x' WHERE user_id = '@u1'");
  await fails(cut(before), /public\.profiles: 50 rows on both sides, but their content differs/);
});

test("whoever writes to a promoted copy is noticed, and what synlift itself wrote is not", async (t) => {
  const session = await connect("copy")();
  t.after(() => session.close());
  await write("copy", "SELECT pg_stat_reset()");
  assertOnlyWrittenBySynlift(await readTables(session), new Set());
  await write("copy", "DELETE FROM profiles WHERE user_id = '@u1'");
  const now = await readTables(session);
  assertOnlyWrittenBySynlift(now, new Set(["public.profiles"]));
  assert.throws(
    () => {
      assertOnlyWrittenBySynlift(now, new Set());
    },
    {
      code: "comparison-failed",
      message: /after it was promoted: public\.profiles/,
    },
  );
});

test("the gate of open does not read the tables: it says what was compared when, and stops when one was written to since", async (t) => {
  const before = await whole();
  await both("INSERT INTO profiles VALUES ('@new', '')");
  const compared = await cut(before);
  const session = await connect("copy")();
  t.after(() => session.close());
  const { since, tables } = await readTables(session);
  const followed: Followed = {
    road: "standby",
    whole: { at: "2026-11-30T20:00:00.000Z", position: "0/1000000" },
    cut: { at: "2026-12-01T02:00:00.000Z", position: "0/2000000", seconds: compared.seconds },
    tables: { ...compared.tables },
    counters: Object.fromEntries([...tables].map(([name, { counters }]) => [name, counters])),
    countedSince: since,
  };
  const gate = () => verifyFollowed(followed, session);
  const ok = await gate();
  assert.equal(ok.level, "ok", JSON.stringify(ok));
  assert.match(
    ok.sentence,
    /compared .* on 2026-11-30T20:00.* \(position 0\/1000000\).* \(position 0\/2000000\)/,
  );
  assert.match(ok.sentence, /4 not written to since, 1 compared in all rows/);
  for (const sql of [
    "UPDATE presence SET state = 'away' WHERE user_id = '@u1'",
    "DELETE FROM profiles WHERE user_id = '@new'; INSERT INTO profiles VALUES ('@new', '')",
    "TRUNCATE state_groups_state",
    "CREATE TABLE mine (x int)",
  ]) {
    await write("copy", sql);
    const stopped = await gate();
    assert.equal(stopped.level, "blocker", sql);
    assert.ok(
      stopped.evidence?.some((name) => sql.includes(name.replace("public.", ""))),
      sql,
    );
    const now = await readTables(session);
    followed.counters = Object.fromEntries([...now.tables].map(([name, { counters }]) => [name, counters]));
  }
  // A standby has counted nothing.
  const nothing = { inserted: 0, updated: 0, deleted: 0, file: 0 };
  followed.counters = Object.fromEntries(Object.keys(followed.counters).map((name) => [name, nothing]));
  await write("copy", "SELECT pg_stat_reset()");
  const counted = await gate();
  assert.equal(counted.level, "blocker", "state_groups_state was emptied");
  assert.match(counted.sentence, /lost its counts .* differ from those of the comparison/);
  await write(
    "copy",
    "INSERT INTO state_groups_state SELECT n / 3, 'm.room.member', '$' || n FROM generate_series(1, 600) n",
  );
  const again = await gate();
  assert.equal(again.level, "ok", JSON.stringify(again));
});
