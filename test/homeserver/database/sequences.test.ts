import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  describeBehind,
  raiseSequences,
  raiseStatement,
  sequencesBehind,
} from "../../../src/homeserver/database/sequences.ts";
import { numberedBy } from "../../../src/homeserver/database/streams.ts";
import type { PostgresAddress } from "../../../src/system/postgres/postgres.ts";
import type { QuerySession } from "../../../src/system/query.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { OLDER_SYNAPSE, synapsePython } from "../../support/lab/synapse-server.ts";
import { addressIn } from "../../support/mini-synapse.ts";
import { postgres } from "../../support/moved-database.ts";

let cluster: PostgresCluster;
let address: PostgresAddress;

before(async () => {
  cluster = await PostgresCluster.start();
  await cluster.createDatabase("syn");
  const { parameters } = addressIn(cluster, "syn");
  address = { parameters: { ...parameters, user: cluster.address.superuser } };
  await cluster.sql("syn", TABLES);
});
after(() => cluster.stop());

const TABLES = `
  create table stream_positions (stream_name text, instance_name text, stream_id bigint);
  create table device_inbox (stream_id bigint);
  create table device_federation_outbox (stream_id bigint);
  create sequence device_inbox_sequence;
  create table events (stream_ordering bigint);
  create sequence events_stream_seq;
  create sequence events_backfill_stream_seq;
  create table thread_subscriptions (stream_id bigint);
  create sequence thread_subscriptions_sequence start with 2;
  create table of_tomorrow (stream_id bigint);
  create sequence of_tomorrow_sequence;
  create table sliding_sync_connections (connection_key bigint primary key generated always as identity, n int);
  create table named_oddly ("Key ""x""" serial primary key);
  create sequence of_somebody_else;
`;

/** In one session, as the caller gives it. */
async function behind(change = ""): Promise<string[]> {
  if (change !== "") await cluster.sql("syn", change);
  const session = await postgres.connect(address);
  return (await sequencesBehind(session).finally(() => session.close())).map(describeBehind);
}

async function raise(): Promise<string[]> {
  const session = await postgres.connect(address, { writes: true });
  return (await raiseSequences(session).finally(() => session.close())).map(describeBehind);
}

const last = (sequence: string) =>
  cluster.sql("syn", `select last_value || '/' || is_called from ${sequence}`);
const next = (sequence: string) => cluster.sql("syn", `select nextval('${sequence}')`);

test("an empty database has no sequence that is behind", async () => {
  assert.deepEqual(await behind(), []);
  assert.deepEqual(await raise(), []);
});

test("what is written while it looks is not taken for a sequence that is behind", async () => {
  const session = await postgres.connect(address);
  const writing: QuerySession = {
    engine: "postgres",
    rows: (sql, settings) => session.rows(sql, settings),
    one: (sql, settings) => session.one(sql, settings),
    all: async (sql, settings) => {
      if (sql.includes("max("))
        await cluster.sql("syn", "insert into events values (nextval('events_stream_seq'))");
      return session.all(sql, settings);
    },
    beginSnapshot: () => session.beginSnapshot(),
    close: () => session.close(),
  };
  const found = await sequencesBehind(writing).finally(() => session.close());
  assert.deepEqual(found.map(describeBehind), []);
  await cluster.sql("syn", "truncate events; select setval('events_stream_seq', 1, false)");
});

test("one that is behind stream_positions is raised to the position, though its table is empty", async () => {
  const change = `select setval('device_inbox_sequence', 3);
    insert into stream_positions values ('to_device', 'master', 5), ('to_device', 'a worker that is gone', 7)`;
  const fault = "device_inbox_sequence: at 3, but the position of to_device in stream_positions is 7";
  assert.deepEqual(await behind(change), [fault]);
  assert.deepEqual(await raise(), [fault]);
  assert.equal(await next("device_inbox_sequence"), "8");
});

test("one that is behind a table, while the position is behind both, is raised to the table", async () => {
  await cluster.sql("syn", "insert into device_federation_outbox values (40)");
  assert.deepEqual(await raise(), [
    "device_inbox_sequence: at 8, but device_federation_outbox.stream_id is 40",
  ]);
  assert.equal(await next("device_inbox_sequence"), "41");
});

test("one that was never used and starts at 2 is not raised for the first row, but for the second", async () => {
  assert.deepEqual(await behind("insert into thread_subscriptions values (1)"), []);
  await cluster.sql("syn", "insert into thread_subscriptions values (2)");
  assert.equal((await raise()).length, 1);
  assert.equal(await last("thread_subscriptions_sequence"), "2/true");
});

test("one whose stream has one row with the id 1 hands out 2 next", async () => {
  await cluster.sql("syn", "insert into of_tomorrow values (1)");
  assert.deepEqual(await raise(), ["of_tomorrow_sequence: at 0, but of_tomorrow.stream_id is 1"]);
  assert.equal(await next("of_tomorrow_sequence"), "2");
});

test("backfilled events count downwards, and only their own sequence counts them", async () => {
  await cluster.sql(
    "syn",
    "insert into events values (-12), (-3), (20); insert into stream_positions values ('backfill', 'master', -13)",
  );
  assert.deepEqual(await raise(), [
    "events_backfill_stream_seq: at 0, but the position of backfill in stream_positions is 13",
    "events_stream_seq: at 0, but events.stream_ordering is 20",
  ]);
});

test("an identity column and a serial column are raised too, whatever their names", async () => {
  await cluster.sql(
    "syn",
    `insert into sliding_sync_connections overriding system value values (9, 1);
     insert into named_oddly values (4)`,
  );
  assert.deepEqual(await raise(), [
    `named_oddly_Key "x"_seq: at 0, but named_oddly.Key "x" is 4`,
    "sliding_sync_connections_connection_key_seq: at 0, but sliding_sync_connections.connection_key is 9",
  ]);
  await cluster.sql("syn", "insert into sliding_sync_connections (n) values (1)");
  await cluster.sql("syn", "insert into named_oddly default values");
});

test("none is lowered, and a second time nothing is done", async () => {
  await cluster.sql("syn", "select setval('events_stream_seq', 1000)");
  assert.deepEqual(await raise(), []);
  assert.equal(await last("events_stream_seq"), "1000/true");
});

test("the statement that people can type does the same", async () => {
  await cluster.sql("syn", "insert into events values (2000)");
  const session = await postgres.connect(address);
  const [found] = await sequencesBehind(session).finally(() => session.close());
  await cluster.sql("syn", raiseStatement(found!));
  assert.deepEqual(await behind(), []);
});

test("a column that is no number, or that another Synapse does not have, is left alone", async () => {
  const change = `alter table of_tomorrow rename column stream_id to other;
    create table receipts_linearized (stream_id text); insert into receipts_linearized values ('12'); create sequence receipts_sequence`;
  assert.deepEqual(await behind(change), []);
});

for (const version of ["1.163.2", OLDER_SYNAPSE])
  test(`every stream and table that Synapse ${version} numbers by a sequence is known`, () => {
    const found = generatorsOf(version);
    assert.ok(found.length >= 15, `${found.length} found in its source`);
    for (const { sequence, stream, columns } of found) {
      const known = numberedBy(sequence);
      if (stream !== undefined) assert.equal(known.stream, stream, sequence);
      for (const [table, column] of columns)
        assert.ok(
          known.columns.some(([one, other]) => one === table && other === column),
          `${sequence} numbers ${table}.${column}`,
        );
    }
  });

interface Generator {
  readonly sequence: string;
  readonly stream: string | undefined;
  readonly columns: (readonly [string, string])[];
}

/** Each call of MultiWriterIdGenerator and of build_sequence_generator in its stores, as far as it has literals. */
function generatorsOf(version: string): Generator[] {
  const lib = join(synapsePython(version), "../../lib");
  const python = readdirSync(lib).find((name) => name.startsWith("python3"))!;
  const stores = join(lib, python, "site-packages/synapse/storage/databases");
  return readdirSync(stores, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".py"))
    .flatMap((name) => {
      const text = readFileSync(join(stores, name), "utf8");
      return [...text.matchAll(/MultiWriterIdGenerator\((?=\n)([\s\S]*?)\n {8,12}\)/g)].map(
        ([, call = ""]) => ({
          sequence: /sequence_name="(\w+)"/.exec(call)?.[1] ?? `none in ${name}`,
          stream: /stream_name="(\w+)"/.exec(call)?.[1],
          columns: [...call.matchAll(/\(\s*"(\w+)",\s*"instance_name",\s*"(\w+)",?\s*\)/g)].map(
            ([, table = "", column = ""]) => [table, column] as const,
          ),
        }),
      );
    });
}
