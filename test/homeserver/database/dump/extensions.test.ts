import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import {
  excludeExtensions,
  untrustedExtensions,
} from "../../../../src/homeserver/database/dump/extensions.ts";
import { type DumpEntry, leaveOutEntries } from "../../../../src/homeserver/database/dump/left-out.ts";
import { PostgresCluster } from "../../../support/lab/postgres-cluster.ts";
import { addressIn } from "../../../support/mini-synapse.ts";
import { postgres } from "../../../support/moved-database.ts";

let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start({ access: ["host all all 127.0.0.1/32 trust"] });
  await cluster.sql("postgres", "create role mover login createdb");
});
after(() => cluster.stop());

async function withExtensions(name: string, extensions: string[] = [], major = 15) {
  await cluster.createDatabase(name, { owner: "mover" });
  for (const extension of extensions) await cluster.sql(name, `create extension ${extension}`);
  const session = await postgres.connect(addressIn(cluster, name, "mover"));
  try {
    return { untrusted: await untrustedExtensions(session), ...(await excludeExtensions(session, major)) };
  } finally {
    await session.close();
  }
}

test("without extensions of a superuser the dump is made as ever", async () => {
  assert.deepEqual(await withExtensions("plain"), { untrusted: [], args: [], entries: [] });
  assert.deepEqual((await withExtensions("trusted", ["pg_trgm"])).args, []);
});

test("an extension that only a superuser may create is left out of the dump, so that an ordinary role can restore it", async () => {
  const { untrusted, args } = await withExtensions("watched", ["pg_stat_statements", "pg_trgm"]);
  assert.deepEqual(untrusted, ["pg_stat_statements"]);
  const dump = execFileSync("pg_dump", [...login(), ...args, "watched"], { encoding: "utf8" });
  assert.match(dump, /CREATE EXTENSION IF NOT EXISTS pg_trgm/);
  assert.doesNotMatch(dump, /pg_stat_statements/);
  await cluster.createDatabase("again", { owner: "mover" });
  execFileSync("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", ...login(), "-d", "again"], {
    input: dump,
    stdio: "pipe",
  });
});

test("a pg_dump that cannot exclude extensions writes them, and they are left out of what it wrote", async () => {
  const { args, entries } = await withExtensions("old pg_dump", ["pg_stat_statements", "pg_trgm"], 13);
  assert.deepEqual(args, []);
  const dump = execFileSync("pg_dump", [...login(), "old pg_dump"], { encoding: "utf8" });
  assert.match(dump, /CREATE EXTENSION IF NOT EXISTS pg_stat_statements/);
  const left = await leftAfter(dump, entries);
  assert.match(left, /CREATE EXTENSION IF NOT EXISTS pg_trgm/);
  assert.doesNotMatch(left, /pg_stat_statements/);
});

const login = () => ["-h", cluster.address.host, "-p", String(cluster.address.port), "-U", "mover"];

async function leftAfter(dump: string, entries: readonly DumpEntry[]): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of leaveOutEntries(entries)(Readable.from([Buffer.from(dump)]))) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}
