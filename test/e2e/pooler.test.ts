import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { startDnsServer } from "../support/dns-server.ts";
import { Pgbouncer } from "../support/lab/pgbouncer.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { PEOPLE_TABLES } from "../support/people-database.ts";
import { exportOf, makeSmallHomeserver } from "../support/small-homeserver.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

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

/** Messages of people, as the running server writes them: on all connections of the pool at the same time. */
async function send(database: string, count: number): Promise<string> {
  const args = ["-X", "-q", "-h", pooler.host, "-p", String(pooler.port), "-U", "mover", "-d", database];
  const one =
    "with slow as (select pg_sleep(0.05)) insert into events select nextval('events_stream_seq'), gen_random_uuid()::text, 'hello' from slow";
  const client = () =>
    promisify(execFile)("psql", [...args, ...Array.from({ length: count / 3 }, () => ["-c", one]).flat()]);
  await Promise.all([client(), client(), client()]);
  return cluster.sql(database, "select count(*) from events where content = 'hello'");
}

test("plan and users look through a pooler in transaction mode, and every message of people is accepted afterwards", async () => {
  const { parameters } = await makeMiniSynapse(cluster, "looked");
  // Without those that the database has already.
  const tables = PEOPLE_TABLES.replace(/CREATE TABLE (?:users|events) [^;]+;/g, "");
  await cluster.sql(
    "looked",
    `set role mover; ${tables}
     alter table events add type text, add room_id text, add outlier boolean, add origin_server_ts bigint, add sender text;
     alter table users add is_guest smallint not null default 0, add appservice_id text, add user_type text, add deactivated smallint not null default 0;
     create table background_updates (update_name text unique, progress_json text, depends_on text, ordering int)`,
  );
  const args = { ...parameters, host: pooler.host, port: pooler.port, cp_min: 1 };
  const home = await makeSmallHomeserver({ database: { name: "psycopg2", args } } as never);
  const configuration = ["--config", home.configFile, "--working-directory", home.dataFolder, "--json"];
  // The pool's connections exist, as those of a running server do.
  assert.equal(await send("looked", 3), "3");
  await using dns = await startDnsServer({ zones: { "example.org": [] } });
  const plan = await synlift(["plan", ...configuration, "--deep", "--resolver", `127.0.0.1:${dns.port}`]);
  assert.ok(resultOf(plan).findings.some(({ id }) => id === "database-pooler"));
  const users = await synlift(["users", ...configuration]);
  assert.equal(users.code, 0, users.stderr);
  assert.match(users.stderr, /"end".*"users\/accounts".*"done":20/);
  assert.equal(await send("looked", 30), "33");
});

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
