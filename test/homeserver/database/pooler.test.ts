import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { copyOut } from "../../../src/homeserver/database/checks/copy.ts";
import { duplicateRows } from "../../../src/homeserver/database/checks/duplicates.ts";
import { assertNoPooler, poolerFindings } from "../../../src/homeserver/database/checks/pooler.ts";
import { unreadableText } from "../../../src/homeserver/database/checks/text-check.ts";
import { makeRoleReadOnly, restoreRoleDefault, roleState } from "../../../src/homeserver/database/fence.ts";
import { fillExclusively } from "../../../src/homeserver/database/fill/exclusive.ts";
import { inspectTarget } from "../../../src/homeserver/database/fill/inspect-target.ts";
import { verifyDatabase } from "../../../src/homeserver/database/verify.ts";
import type { PostgresAddress } from "../../../src/system/postgres/postgres.ts";
import { noProgress } from "../../../src/system/progress.ts";
import { Pgbouncer } from "../../support/lab/pgbouncer.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { addressIn, makeMiniSynapse } from "../../support/mini-synapse.ts";
import { pack, type Packed, postgres, programs } from "../../support/moved-database.ts";

const SIZE = 3;

let cluster: PostgresCluster;
let pooler: Pgbouncer;
let packed: Packed;

before(async () => {
  cluster = await PostgresCluster.start();
  packed = await pack(await makeMiniSynapse(cluster, "old"));
  await cluster.sql("old", "grant all on all tables in schema public to mover");
  pooler = await Pgbouncer.start(cluster, { size: SIZE });
});
after(async () => {
  await pooler.stop();
  await cluster.stop();
});

function through(name: string, { host, port } = pooler): PostgresAddress {
  const direct = addressIn(cluster, name);
  return { ...direct, parameters: { ...direct.parameters, host, port: String(port) } };
}

/** What a session may have and leave: all settings, locks, and what has a name in it. It is held, so that each of several sees another. */
const LIVE = `SELECT jsonb_build_object(
    'settings', (SELECT jsonb_object_agg(name, setting) FROM pg_settings),
    'locks', (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
    'prepared', (SELECT count(*) FROM pg_prepared_statements),
    'held', (SELECT count(*) FROM pg_cursors WHERE is_holdable),
    'heard', (SELECT count(*) FROM pg_listening_channels())), pg_backend_pid(), left(pg_sleep(1.5)::text, 0)`;

/** As a running server's clients: nothing is set by them. */
async function clients(commands: readonly string[]): Promise<string[]> {
  const { host, port } = pooler;
  const login = ["-X", "-q", "-A", "-t", "-h", host, "-p", String(port), "-U", "mover", "-d", "old"];
  const args = [...login, ...commands.map((sql) => `--command=${sql}`)];
  return Promise.all(Array.from({ length: SIZE }, () => programs.run({ name: "psql", args })));
}

/** Of all server connections of the pool. */
async function pooled(): Promise<unknown[]> {
  const lines = (await clients([LIVE])).map((line) => line.trim().split("|"));
  assert.equal(new Set(lines.map(([, pid]) => pid)).size, SIZE, "each has another server connection");
  return lines.map(([json]) => JSON.parse(json!) as unknown);
}

/** How many of 30 messages are written, on all server connections of the pool. */
async function written(): Promise<number> {
  const count = async () => Number(await cluster.sql("old", "select count(*) from messages"));
  const before = await count();
  const message = "insert into messages default values; select left(pg_sleep(0.05)::text, 0)";
  await clients(Array.from({ length: 30 / SIZE }, () => message)).catch(() => undefined);
  return (await count()) - before;
}

const text = (address: PostgresAddress) => ({ address, encoding: "UTF8", programs });

/** Each of the ways in which a live server's database is looked at. */
const LOOKS: Readonly<Record<string, () => Promise<unknown>>> = {
  async queries() {
    const session = await postgres.connect(through("old"), { responseTimeout: 60_000 });
    for await (const _ of session.rows("SELECT * FROM events, generate_series(1, 30) n"));
    await session.all("SELECT 1 AS n", { jit: "off" });
    await session.close();
  },
  async gates() {
    const session = await postgres.connect(through("old"));
    await verifyDatabase(packed.section, session);
    await session.close();
  },
  async "every row"() {
    const session = await postgres.connect(through("old"));
    const { broken } = await unreadableText(session, text(through("old")), noProgress);
    assert.deepEqual(broken, []);
    await duplicateRows(session, broken, noProgress);
    await session.close();
  },
  async "a query that fails"() {
    const session = await postgres.connect(through("old"), { responseTimeout: 60_000 });
    await assert.rejects(session.all("SELECT 1 / 0 AS n", { work_mem: "1234kB" }), {
      code: "program-failed",
    });
  },
  async "a reader that stops"() {
    const session = await postgres.connect(through("old"));
    for await (const _ of session.rows("SELECT generate_series(1, 100000) AS n")) break;
  },
  async "a lock that is held while another fills"() {
    await fillExclusively(through("old"), postgres, () => Promise.resolve());
  },
  async "a fence and its undo"() {
    const session = await postgres.connect(through("old"), { writes: true });
    const state = await roleState(session);
    await makeRoleReadOnly(session, state);
    await restoreRoleDefault(session, state);
    await session.close();
  },
};

test("whatever looks at a database through a pooler leaves its connections as they were, and people can write", async () => {
  await cluster.sql(
    "old",
    "create table messages (n serial); grant all on messages, messages_n_seq to mover",
  );
  const before = await pooled();
  for (const [name, look] of Object.entries(LOOKS)) {
    await look();
    assert.equal(await written(), 30, name);
    await look();
    assert.deepEqual(await pooled(), before, name);
  }
});

test("a pooler is recognised, cold or warm, one connection for a client or for a transaction, and never a server itself", async () => {
  const [cold, warm] = [
    await poolerFindings(through("old"), postgres),
    await poolerFindings(through("old"), postgres),
  ];
  const session = await Pgbouncer.start(cluster, { mode: "session", size: 5 });
  try {
    const kept = await poolerFindings(through("old", session), postgres);
    for (const findings of [cold, warm, kept]) {
      assert.deepEqual(
        findings.map(({ id, level }) => [id, level]),
        [["database-pooler", "blocker"]],
      );
      const { hint = "", evidence = [] } = findings[0]!;
      const { host, port } = cluster.address;
      assert.match(hint, new RegExp(`--database-server 'host=${host} port=${port}'`));
      assert.match(evidence.join(), new RegExp(`port ${port}`));
    }
  } finally {
    await session.stop();
  }
  for (const host of [cluster.address.host, cluster.address.socketFolder]) {
    const { parameters, ...direct } = addressIn(cluster, "old");
    assert.deepEqual(await poolerFindings({ ...direct, parameters: { ...parameters, host } }, postgres), []);
  }
});

test("an export's look at a database behind a pooler fails, and names the server's address", async () => {
  await assert.rejects(assertNoPooler(through("old"), postgres), {
    code: "database-unsupported",
    message: /is reached through a connection pooler/,
    hint: new RegExp(`port=${cluster.address.port}'`),
  });
  await assertNoPooler(addressIn(cluster, "old"), postgres);
});

test("a target behind a pooler is refused before anything is restored into it", async () => {
  await cluster.createDatabase("empty", { owner: "mover" });
  await assert.rejects(inspectTarget({ address: through("empty"), section: packed.section }, postgres), {
    code: "target-unsuitable",
    message: /connection pooler/,
    hint: new RegExp(`port=${cluster.address.port}`),
  });
});

test("an error of the pooler is no damage of a table", async () => {
  const session = await postgres.connect(addressIn(cluster, "old"));
  const options = { ...through("old").parameters, options: "-c work_mem=1MB" };
  const refused = text({ ...through("old"), parameters: options });
  await assert.rejects(unreadableText(session, refused, noProgress), { code: "database-unreachable" });
  const killed = async () => {
    for await (const _ of copyOut(
      ["SELECT 1, pg_terminate_backend(pg_backend_pid())"],
      text(through("old")),
      programs,
    ));
  };
  await assert.rejects(killed, { code: "database-unreachable" });
  const { broken } = await unreadableText(session, text(addressIn(cluster, "old")), noProgress);
  assert.deepEqual(broken, []);
  await session.close();
});
