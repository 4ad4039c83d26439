import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Pgbouncer } from "../support/lab/pgbouncer.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { exportOf, makeSmallHomeserver } from "../support/small-homeserver.ts";
import { synlift, synliftWell } from "../support/synlift.ts";

// A homeserver whose configuration names a connection pooler, moved with whole commands.

let cluster: PostgresCluster;
let pooler: Pgbouncer;

before(async () => {
  cluster = await PostgresCluster.start();
  pooler = await Pgbouncer.start(cluster);
});
after(async () => {
  await pooler.stop();
  await cluster.stop();
});

const readOnly = () =>
  cluster.sql("postgres", "select count(*) from pg_db_role_setting where setdatabase <> 0");

test("export refuses to dump through a pooler, and does it with the server's own address, as does its undo", async () => {
  const { parameters } = await makeMiniSynapse(cluster, "pooled");
  const args = { ...parameters, host: pooler.host, port: pooler.port, cp_min: 1 };
  const home = await makeSmallHomeserver({ database: { name: "psycopg2", args } } as never);
  const out = join(temporaryFolder("pooled"), "bundle");

  const refused = await synlift(exportOf(home, out));
  assert.equal(refused.code, 13, refused.stderr);
  const { host, port } = cluster.address;
  const server = `host=${host} port=${port}`;
  assert.match(refused.stderr, /is reached through a connection pooler/);
  assert.match(refused.stderr, new RegExp(`--database-server '${server}'`));
  assert.equal(await readOnly(), "0");

  const wrong = await synlift([...exportOf(home, out), "--database-server", "password=secret"]);
  assert.equal(wrong.code, 2, wrong.stderr);
  assert.doesNotMatch(wrong.stderr, /secret/);

  // The pooler is stopped with the homeserver: it would keep its connections.
  await pooler.stop();
  await synliftWell([...exportOf(home, out), "--database-server", server]);
  assert.equal(await readOnly(), "1");
  await synliftWell(["rollback", "--out", out, "--yes"]);
  assert.equal(await readOnly(), "0");
});
