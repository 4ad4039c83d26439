import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { stringify } from "yaml";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { eventsOf, synlift } from "../support/synlift.ts";

// What `users` says when there is nothing to look at: a clear error, its code, and a way on.

let cluster: PostgresCluster;
const folder = temporaryFolder("users");

before(async () => {
  cluster = await PostgresCluster.start({
    access: ["local all postgres trust", "host all postgres 127.0.0.1/32 scram-sha-256"],
  });
  await cluster.sql("postgres", "alter role postgres password 'secret-of-the-database'");
  await cluster.createDatabase("empty");
  await cluster.createDatabase("wordpress");
  await cluster.sql("wordpress", "create table wp_posts (id int); create table users (name text)");
});

after(() => cluster.stop());

const SYNAPSE = [
  "schema_version",
  "schema_compat_version",
  "events",
  "local_media_repository",
  "e2e_one_time_keys_json",
];

function sqliteFile(name: string, statements: string): string {
  const path = join(folder, name);
  const database = new DatabaseSync(path);
  database.exec(statements);
  database.close();
  return path;
}

function config(database: object | string): string {
  const path = join(folder, "homeserver.yaml");
  writeFileSync(
    path,
    typeof database === "string"
      ? database
      : stringify({ server_name: "example.org", report_stats: false, database }),
  );
  return path;
}

const onPostgres = (dbname: string, more: object = {}) => {
  const { host, port } = cluster.address;
  const args = { host, port, user: "postgres", password: "secret-of-the-database", dbname, ...more };
  return config({ name: "psycopg2", args });
};
const onSqlite = (database: string) => config({ name: "sqlite3", args: { database } });

async function refused(path: string, code: string, exitCode: number, words: RegExp): Promise<void> {
  const ran = await synlift(["users", "--config", path, "--csv", join(folder, "people.csv"), "--json"]);
  const error = eventsOf(ran).at(-1)!;
  assert.deepEqual([error.code, ran.code], [code, exitCode], ran.stderr);
  assert.match(error.message!, words);
  assert.ok(typeof error.hint === "string" && error.hint !== "", "it says what to do");
  assert.ok(!ran.stderr.includes("secret-of-the-database"));
  assert.equal(existsSync(join(folder, "people.csv")), false, "no half table");
}

test("a database that is empty, another program's or another server's is refused by name", async () => {
  await refused(onPostgres("empty"), "database-unsupported", 13, /empty on 127\.0\.0\.1.* is empty/);
  await refused(
    onPostgres("wordpress"),
    "database-unsupported",
    13,
    /wordpress on .* is not a Synapse database/,
  );
  await refused(onSqlite(sqliteFile("none.db", "")), "database-unsupported", 13, /none\.db is empty/);
  const tables = SYNAPSE.map((name) => `create table ${name} (n int);`).join(" ");
  const users =
    "create table users (name text); insert into users values ('@a:other.org'), ('@b:example.org');";
  await refused(
    onSqlite(sqliteFile("other.db", tables + users)),
    "database-unsupported",
    13,
    /1 of 2 accounts belong to a server other than example\.org/,
  );
});

test("a database that cannot be reached is told with the reason", async () => {
  await refused(onPostgres("nowhere"), "database-unreachable", 12, /there is no database nowhere/);
  await refused(
    onPostgres("empty", { password: "a guess" }),
    "database-unreachable",
    12,
    /password authentication failed/,
  );
  await refused(onPostgres("empty", { port: await freePort() }), "database-unreachable", 12, /refused/);
  const path = join(folder, "text.db");
  writeFileSync(path, "this is no database, though it is long enough to have a header of one".repeat(3));
  await refused(onSqlite(path), "database-unreachable", 12, /not a database/);
  await refused(onSqlite(join(folder, "gone.db")), "file-missing", 17, /no SQLite database at .*gone\.db/);
});

test("a configuration that cannot be read is told with its place", async () => {
  await refused(config("server_name: [\n"), "config-unreadable", 10, /homeserver\.yaml, line/);
  const empty = join(folder, "conf.d");
  mkdirSync(empty);
  await refused(empty, "config-unreadable", 10, /has a setting/);
});
