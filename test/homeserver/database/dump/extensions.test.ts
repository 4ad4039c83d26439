import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import {
  extensionArguments,
  untrustedExtensions,
} from "../../../../src/homeserver/database/dump/extensions.ts";
import { PostgresCluster } from "../../../support/lab/postgres-cluster.ts";
import { addressIn } from "../../../support/mini-synapse.ts";
import { postgres } from "../../../support/moved-database.ts";

let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start({ access: ["host all all 127.0.0.1/32 trust"] });
  await cluster.sql("postgres", "create role mover login createdb");
});
after(() => cluster.stop());

async function withExtensions(name: string, ...extensions: string[]) {
  await cluster.createDatabase(name, { owner: "mover" });
  for (const extension of extensions) await cluster.sql(name, `create extension ${extension}`);
  const session = await postgres.connect(addressIn(cluster, name, "mover"));
  try {
    return { untrusted: await untrustedExtensions(session), args: await extensionArguments(session) };
  } finally {
    await session.close();
  }
}

test("without extensions of a superuser the dump is made as ever", async () => {
  assert.deepEqual(await withExtensions("plain"), { untrusted: [], args: [] });
  assert.deepEqual((await withExtensions("trusted", "pg_trgm")).args, []);
});

test("an extension that only a superuser may create is left out of the dump, so that an ordinary role can restore it", async () => {
  const { untrusted, args } = await withExtensions("watched", "pg_stat_statements", "pg_trgm");
  assert.deepEqual(untrusted, ["pg_stat_statements"]);
  const { host, port } = cluster.address;
  const login = ["-h", host, "-p", String(port), "-U", "mover"];
  const dump = execFileSync("pg_dump", [...login, ...args, "watched"], { encoding: "utf8" });
  assert.match(dump, /CREATE EXTENSION IF NOT EXISTS pg_trgm/);
  assert.doesNotMatch(dump, /pg_stat_statements/);
  await cluster.createDatabase("again", { owner: "mover" });
  execFileSync("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", ...login, "-d", "again"], {
    input: dump,
    stdio: "pipe",
  });
});
