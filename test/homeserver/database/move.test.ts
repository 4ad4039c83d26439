import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { databaseMarker } from "../../../src/homeserver/database/count.ts";
import { createDatabase, inspectTarget } from "../../../src/homeserver/database/fill/inspect-target.ts";
import { assertSynapseDatabase } from "../../../src/homeserver/database/identity.ts";
import { connectionFindings } from "../../../src/homeserver/database/in-use.ts";
import { analyze, restoreDatabase } from "../../../src/homeserver/database/restore.ts";
import { verifyDatabase } from "../../../src/homeserver/database/verify.ts";
import type { Finding } from "../../../src/report/finding.ts";
import type { PostgresSession } from "../../../src/system/postgres/postgres.ts";
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

test("somebody who is still connected is named, and our own programs are not", async () => {
  await inSession("new", async (session) => {
    assert.deepEqual(await connectionFindings(session), []);
    await inSession("new", async (lingering) => {
      await lingering.runAlone("SET application_name = 'synapse-worker';");
      const [found] = await connectionFindings(session);
      assert.equal(found?.id, "database-in-use");
      assert.deepEqual(found.evidence, ["mover (synapse-worker): 1 connection"]);
    });
  });
});
