import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { schemaOf } from "../../../src/homeserver/database/checks/readiness.ts";
import { countDatabase, countRows, databaseMarker } from "../../../src/homeserver/database/count.ts";
import { createDatabase, inspectTarget } from "../../../src/homeserver/database/fill/inspect-target.ts";
import { assertSynapseDatabase, schemaMissing } from "../../../src/homeserver/database/identity.ts";
import { databaseConnections } from "../../../src/homeserver/database/in-use.ts";
import { analyze, restoreDatabase } from "../../../src/homeserver/database/restore.ts";
import { verifyDatabase } from "../../../src/homeserver/database/verify.ts";
import type { Finding } from "../../../src/report/finding.ts";
import { type PostgresSession, realPostgres } from "../../../src/system/postgres/postgres.ts";
import { collect } from "../../support/bytes.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { addressIn, makeMiniSynapse, ONE_TIME_KEY } from "../../support/mini-synapse.ts";
import { lock, pack, type Packed, postgres, programs } from "../../support/moved-database.ts";
import { scriptsIn } from "../../support/real-world.ts";

let cluster: PostgresCluster;
let packed: Packed;

before(async () => {
  cluster = await PostgresCluster.start();
  packed = await pack(await makeMiniSynapse(cluster, "old"));
  const target = { address: addressIn(cluster, "new"), section: packed.section };
  assert.equal(await inspectTarget(target, postgres), false, "it is not there yet, and may be made");
  await createDatabase(target.address, postgres);
  assert.equal(await inspectTarget(target, postgres), true, "it is there, and empty");
  const { bundle, artifact, plain } = packed;
  await restoreDatabase(target.address, bundle.decrypted(artifact, lock, plain), {
    programs,
    psql: "psql",
    restrictKey: "Key1",
  });
  await analyze(target.address, postgres);
});
after(() => cluster.stop());

async function inSession<T>(database: string, act: (session: PostgresSession) => Promise<T>): Promise<T> {
  const session = await postgres.connect(addressIn(cluster, database));
  try {
    return await act(session);
  } finally {
    await session.close();
  }
}

const blockers = (findings: readonly Finding[]) => findings.filter(({ level }) => level !== "ok");
let copies = 0;

/** The gates on a copy of the restored database to which something was done. */
async function gatesAfter(change: string): Promise<Finding[]> {
  const name = `copy${++copies}`;
  await cluster.sql("postgres", `create database ${name} owner mover template new`);
  await cluster.sql(name, change);
  return blockers(await inSession(name, (session) => verifyDatabase(packed.section, session)));
}

test("what was dumped and restored passes every gate", async () => {
  const findings = await inSession("new", (session) => verifyDatabase(packed.section, session));
  assert.deepEqual(
    findings.map(({ id, level }) => `${level} ${id}`),
    ["ok row-counts", "ok sequences", "ok stream-positions", "ok schema", "ok one-time-keys"],
  );
});

test("every text comes back to the letter", async () => {
  const query = "select md5(string_agg(content, '|' order by event_id)), count(*) from events";
  assert.equal(await cluster.sql("new", query), await cluster.sql("old", query));
  assert.equal(
    await cluster.sql("new", "select tableowner from pg_tables where tablename = 'events'"),
    "mover",
  );
});

test("what was counted is in the inventory, with what was left out and what will stay", () => {
  const { rows, leftOut, staying, sequences, streams, schemaVersion, compatVersion } = packed.section;
  assert.equal(rows["public.events"], 500);
  assert.equal(rows["public.e2e_one_time_keys_json"], 0);
  assert.deepEqual(leftOut, { "public.e2e_one_time_keys_json": 1 });
  assert.deepEqual(staying, {
    "public.local_media_repository": 4,
    "public.local_media_repository_thumbnails": 1,
    "public.local_media_repository_url_cache": 0,
    "public.remote_media_cache": 1,
    "public.remote_media_cache_thumbnails": 1,
  });
  assert.deepEqual(sequences, {
    "public.events_stream_seq": { last: "500", called: true },
    "public.never_used_seq": { last: "1", called: false },
  });
  assert.deepEqual(streams, { backfill: "12", events: "500" });
  assert.deepEqual([schemaVersion, compatVersion], [92, 86]);
});

test("one-time keys are nowhere in the dump, only the empty table is", async () => {
  const { bundle, artifact } = packed;
  const sql = (await collect(bundle.decrypted(artifact, lock))).toString();
  assert.equal(sql.includes(ONE_TIME_KEY), false);
  assert.match(sql, /CREATE TABLE public.e2e_one_time_keys_json/);
  assert.match(sql, /^--\n-- Made by synlift\./);
  assert.ok(sql.includes("secret-hash"), "while what has to travel does");
});

test("rows of remote media and previews whose files stay behind are gone, quarantined ones are kept", async () => {
  assert.equal(await cluster.sql("new", "select media_id from remote_media_cache"), "bad");
  assert.equal(await cluster.sql("new", "select media_id from remote_media_cache_thumbnails"), "bad");
  assert.equal(
    await cluster.sql("new", "select count(*) from local_media_repository where url_cache is not null"),
    "0",
  );
});

for (const [what, change, id, evidence] of [
  [
    "a row too many",
    "insert into rooms values ('!two:example.org', null)",
    "row-counts",
    /^public.rooms: 1 expected, 2 found$/,
  ],
  [
    "a row too few",
    "delete from events where stream_ordering = 7",
    "row-counts",
    /^public.events: 500 expected, 499 found$/,
  ],
  [
    "a table too many",
    "set role mover; create table extra ()",
    "row-counts",
    /^public.extra: no such table expected, 0 found$/,
  ],
  [
    "a table that is gone",
    "drop table rooms",
    "row-counts",
    /^public.rooms: 1 expected, no such table found$/,
  ],
  [
    "a sequence that stands lower",
    "select setval('never_used_seq', 1, false); select setval('events_stream_seq', 499)",
    "sequences",
    /^public.events_stream_seq: 500 at the source, 499 here$/,
  ],
  [
    "a sequence that is gone",
    "drop sequence never_used_seq",
    "sequences",
    /^public.never_used_seq: 1 at the source, missing here$/,
  ],
  [
    "a stream that went on",
    "update stream_positions set stream_id = 600 where stream_name = 'events'",
    "stream-positions",
    /^events: 500 at the source, 600 here$/,
  ],
  [
    "a stream that is ahead of its sequence",
    "update stream_positions set stream_id = 600 where stream_name = 'events'",
    "stream-positions",
    /^events is at 600, its sequence events_stream_seq only at 500$/,
  ],
  ["another schema", "update schema_version set version = 93", "schema", undefined],
  ["another compatible schema", "update schema_compat_version set compat_version = 90", "schema", undefined],
  [
    "one-time keys put back",
    `insert into e2e_one_time_keys_json values ('@u:x', 'D', 'a', 'k', '${ONE_TIME_KEY}')`,
    "one-time-keys",
    /1 rows$/,
  ],
  [
    "a row of remote media put back",
    "insert into remote_media_cache values ('far.example', 'remote', 10, null)",
    "row-counts",
    /^public.remote_media_cache: 1 expected, 2 found$/,
  ],
] as const)
  test(`the gate "${id}" stops a database with ${what}`, async () => {
    const found = await gatesAfter(change);
    const gate = found.find((finding) => finding.id === id);
    assert.equal(gate?.level, "blocker", JSON.stringify(found));
    if (evidence)
      assert.ok(
        gate.evidence?.some((line) => evidence.test(line)),
        JSON.stringify(gate.evidence),
      );
    assert.ok(gate.hint);
    assert.doesNotMatch(JSON.stringify(found), new RegExp(ONE_TIME_KEY));
  });

test("a pg_dump that dies, or says that all is well half way, leaves nothing in the bundle", async () => {
  const address = addressIn(cluster, "old");
  for (const [script, code] of [
    ['/usr/bin/pg_dump "$@" | head -c 30000; kill -KILL $$', "program-failed"],
    ['/usr/bin/pg_dump "$@" | head -c 30000', "program-failed"],
    ['/usr/bin/pg_dump "$@"; exit 1', "program-failed"],
  ] as const) {
    const folder = temporaryFolder("bundle");
    await assert.rejects(pack(address, { folder, pgDump: join(scriptsIn({ pg_dump: script }), "pg_dump") }), {
      code,
    });
    assert.deepEqual(readdirSync(folder), []);
  }
});

test("the database's marker changes when the server writes, and only then", async () => {
  const name = `copy${++copies}`;
  await cluster.sql("postgres", `create database ${name} owner mover template new`);
  const marker = () => inSession(name, databaseMarker);
  const before = await marker();
  assert.equal(await marker(), before);
  await cluster.sql(name, "select nextval('events_stream_seq')");
  const after = await marker();
  assert.notEqual(after, before);
  await cluster.sql(name, "update stream_positions set stream_id = 501 where stream_name = 'events'");
  assert.notEqual(await marker(), after);
});

test("rows that an index has lost are counted, and the plans of what follows are as before", async () => {
  await cluster.sql("postgres", "create database lossy owner mover template new");
  // As after a fault of the disk or of a sort order: the rows are in the table, and the index does not have them.
  await cluster.sql(
    "lossy",
    `alter database lossy set enable_seqscan = off; set role mover;
     create table wide (id bigint primary key, filler text);
     reset role; set allow_system_table_mods = on; update pg_index set indisready = false where indexrelid = 'wide_pkey'::regclass;
     insert into wide select n, repeat('x', 500) from generate_series(1, 500) n;
     update pg_index set indisready = true where indexrelid = 'wide_pkey'::regclass;
     vacuum analyze wide;`,
  );
  await inSession("lossy", async (session) => {
    const byIndex = await session.one<{ count: number }>("SELECT count(*) AS count FROM wide");
    assert.equal(byIndex.count, 0, "what PostgreSQL answers by itself");
    await session.beginSnapshot();
    assert.equal((await countRows(session))["public.wide"], 500);
    const { scan } = await session.one<{ scan: string }>(
      "SELECT current_setting('enable_indexscan') AS scan",
    );
    assert.equal(scan, "on");
    const { staying } = await countDatabase(session, {});
    assert.equal(Object.keys(staying).length > 0, true);
  });
});

test("a database that does not record its schema is refused", async () => {
  for (const [table, hint] of [
    ["schema_version", /takes it for a new database/],
    ["schema_compat_version", /start Synapse once/],
  ] as const) {
    await cluster.sql("postgres", `create database "no ${table}" owner mover template new`);
    await cluster.sql(`no ${table}`, `delete from ${table}`);
    const message = `the database no ${table} does not record its schema's version: the table ${table} is empty`;
    await inSession(`no ${table}`, async (session) => {
      await assert.rejects(assertSynapseDatabase(session, "example.org"), {
        code: "database-unsupported",
        message,
        hint,
      });
      assert.equal(await schemaOf(session), undefined);
      const { id, level, sentence } = await schemaMissing(session, `no ${table}`);
      assert.deepEqual([id, level, sentence], ["schema-missing", "blocker", message]);
    });
  }
});

test("a database that is none of Synapse's, or another server's, is refused", async () => {
  await inSession("new", (session) => assertSynapseDatabase(session, "example.org"));
  await assert.rejects(
    inSession("new", (session) => assertSynapseDatabase(session, "ample.org")),
    { code: "database-unsupported", message: /users of a server other than/ },
  );
  await assert.rejects(
    inSession("postgres", (session) => assertSynapseDatabase(session, "example.org")),
    { code: "database-unsupported", message: /Synapse's tables are missing/ },
  );
});

test("somebody who is still connected is named, and this run's own sessions are not, whatever they are called", async () => {
  await inSession("new", async (session) => {
    const nobody = { homeserver: [], others: [] };
    assert.deepEqual(await databaseConnections(session), nobody);
    await inSession("new", async (own) => {
      await own.runAlone("SET application_name = 'synapse-worker';");
      assert.deepEqual(await databaseConnections(session), nobody);
    });
    // Another run knows nothing of the sessions of this one, and their name hides nothing.
    const another = await realPostgres(programs).connect(addressIn(cluster, "new"));
    try {
      const [program] = (await databaseConnections(session)).others;
      assert.equal(program?.id, "database-connections:mover");
      assert.deepEqual(program.evidence, ["mover (synlift) from 127.0.0.1: 1 connection"]);
      await another.runAlone("SET application_name = 'synapse-worker';");
      const [server] = (await databaseConnections(session)).homeserver;
      assert.equal(server?.id, "database-in-use");
      assert.deepEqual(server.evidence, ["mover (synapse-worker) from 127.0.0.1: 1 connection"]);
    } finally {
      await another.close();
    }
  });
});

test("the connection of another role counts, although an ordinary role hardly sees more than that it is there", async () => {
  await cluster.createRole("reports", "x");
  const other = await postgresOfAnother("reports");
  try {
    await inSession("new", async (session) => {
      const [found, ...more] = (await databaseConnections(session)).others;
      assert.deepEqual(more, []);
      assert.equal(found?.id, "database-connections:reports");
      assert.deepEqual(found.evidence, [
        "reports (synlift): 1 connection, whose address is hidden from the homeserver's role",
      ]);
    });
  } finally {
    await other.close();
  }
});

const postgresOfAnother = (role: string) => realPostgres(programs).connect(addressIn(cluster, "new", role));

test("the marker sees each way to write a row, by whatever role, and neither VACUUM nor ANALYZE", async () => {
  const name = `copy${++copies}`;
  await cluster.sql("postgres", `create database ${name} owner mover template new`);
  let last = await inSession(name, databaseMarker);
  for (const written of [
    "insert into rooms values ('!two:example.org', null)",
    "update users set admin = 1 where name = '@user1:example.org'",
    "delete from rooms where room_id = '!two:example.org'",
    "truncate local_media_repository_thumbnails",
    "create table other (x integer)",
    "select pg_stat_reset()",
  ]) {
    await cluster.sql(name, written);
    const now = await inSession(name, databaseMarker);
    assert.notEqual(now, last, written);
    last = now;
  }
  for (const harmless of ["vacuum", "analyze", "vacuum (freeze, truncate)", "select count(*) from users"]) {
    await cluster.sql(name, harmless);
    assert.equal(await inSession(name, databaseMarker), last, harmless);
  }
});
