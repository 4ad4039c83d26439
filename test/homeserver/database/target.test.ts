import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, databaseAddress } from "../../../src/homeserver/database/address.ts";
import { inspectTarget } from "../../../src/homeserver/database/fill/inspect-target.ts";
import type { DatabaseSection } from "../../../src/homeserver/database/section.ts";
import type { Homeserver } from "../../../src/homeserver/homeserver.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { realMachine } from "../../../src/system/machine.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { addressIn } from "../../support/mini-synapse.ts";
import { postgres } from "../../support/moved-database.ts";

const ACCESS = ["local all nobody peer", "host all all 127.0.0.1/32 trust"];
let cluster: PostgresCluster;
let section: DatabaseSection;

before(async () => {
  cluster = await PostgresCluster.start({ access: ACCESS });
  await cluster.sql(
    "postgres",
    "create role mover login createdb; create role lowly login; create role nobody login",
  );
  const serverVersion = Number(await cluster.sql("postgres", "show server_version_num"));
  section = {
    engine: "postgres",
    serverVersion,
    rows: {},
    staying: {},
    leftOut: {},
    sequences: {},
    streams: {},
    schemaVersion: 92,
    compatVersion: 86,
  };
});
after(() => cluster.stop());

const look = (dbname: string, user = "mover", counted = section) =>
  inspectTarget({ address: addressIn(cluster, dbname, user), section: counted }, postgres);

test("a database that is there, empty and as Synapse wants it is fine", async () => {
  await cluster.createDatabase("fine", { owner: "mover" });
  assert.equal(await look("fine"), true);
});

test("a database that is not there is fine when it may be made, and what to type is said when not", async () => {
  assert.equal(await look("not yet"), false);
  await assert.rejects(look("not yet", "lowly"), {
    code: "target-unsuitable",
    message: "there is no database not yet, and user lowly may not create it",
    hint: /createdb --encoding=UTF8 --locale=C --locale-provider=libc --template=template0 --owner=lowly not yet/,
  });
  assert.equal(
    await cluster.sql("postgres", "select count(*) from pg_database where datname = 'not yet'"),
    "0",
    "looking makes nothing",
  );
});

test("a database with anything in it is not empty, be it only a sequence", async () => {
  for (const [name, sql] of [
    ["table", "create table t ()"],
    ["sequence", "create sequence s"],
    ["schema", "create schema other; create view other.v as select 1"],
  ] as const) {
    await cluster.createDatabase(name, { owner: "mover" });
    await cluster.sql(name, sql);
    await assert.rejects(look(name), {
      code: "target-not-empty",
      message: new RegExp(`database ${name} is not empty`),
      hint: /name a new database/,
    });
  }
});

test("functions, types and schemas that were left over are named, as a dump would create them again", async () => {
  for (const [name, sql, found] of [
    ["function", "create function f() returns int language sql as 'select 1'", "function public.f()"],
    ["type", "create type mood as enum ('good')", "type public.mood"],
    ["domain", "create domain positive as int", "type public.positive"],
    ["bare", "create schema bare", "schema bare"],
    [
      "operator",
      "create operator === (leftarg = int, rightarg = int, function = int4eq)",
      "operator public.===(integer,integer)",
    ],
    [
      "words",
      "create text search configuration words (copy = pg_catalog.simple)",
      "text search configuration public.words",
    ],
  ] as const) {
    await cluster.createDatabase(`left ${name}`, { owner: "mover" });
    await cluster.sql(`left ${name}`, sql);
    await assert.rejects(look(`left ${name}`), {
      code: "target-not-empty",
      message: `database left ${name} is not empty: it has 1 object: ${found}`,
    });
  }
});

test("a database in which only an extension put something is empty", async () => {
  await cluster.createDatabase("extended", { owner: "mover" });
  const available = await cluster.sql(
    "extended",
    "select count(*) from pg_available_extensions where name = 'pg_stat_statements'",
  );
  assert.equal(available, "1", "postgresql-contrib is part of the server's package");
  await cluster.sql("extended", "create extension pg_stat_statements");
  assert.equal(await look("extended"), true);
  await cluster.sql("extended", "create schema theirs; alter extension pg_stat_statements set schema theirs");
  assert.equal(await look("extended"), true, "a schema made for an extension");
});

test("a database with another locale or encoding is unsuitable, and how to make a right one is said", async () => {
  await cluster.createDatabase("locale", { owner: "mover", locale: "C.UTF-8" });
  await cluster.sql(
    "postgres",
    "create database latin owner mover encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0",
  );
  for (const [name, said] of [
    ["locale", /encoding UTF8, collation C.UTF-8 and character type C.UTF-8/],
    ["latin", /encoding LATIN1/],
  ] as const)
    await assert.rejects(look(name), {
      code: "target-unsuitable",
      message: said,
      hint: /createdb --encoding=UTF8 --locale=C/,
    });
});

test("a database in which this user may make no tables is unsuitable, and whom to make its owner is said", async () => {
  await cluster.createDatabase("theirs", { owner: "postgres" });
  await cluster.sql("theirs", "revoke create on schema public from public");
  await assert.rejects(look("theirs", "lowly"), {
    code: "target-unsuitable",
    message: /may not create tables/,
    hint: /ALTER DATABASE "theirs" OWNER TO/,
  });
});

test("a server older than the source's is refused before anything is written", async () => {
  const newer = { ...section, serverVersion: section.serverVersion + 10_000 };
  for (const name of ["fine", "not yet"])
    await assert.rejects(look(name, "mover", newer), {
      code: "target-unsuitable",
      message: /is older than the source's/,
    });
  assert.equal(await look("fine", "mover", { ...section, serverVersion: 110_000 }), true, "upwards is fine");
});

const configured = (args: Record<string, string | number | boolean>) =>
  databaseAddress({
    serverName: "example.org",
    database: { kind: "postgres", args },
  } as unknown as Homeserver);

test("Synapse's database settings become an address, with the password kept apart", () => {
  assert.deepEqual(
    configured({
      user: "synapse",
      password: "s3cret",
      database: "x",
      host: "db",
      port: 5432,
      cp_min: 1,
      sslmode: "require",
    }).password,
    "s3cret",
  );
  const { parameters, password } = configured({
    dsn: "host=db user=me password=from-dsn dbname=one",
    dbname: "two",
    connection_factory: "x",
  });
  assert.deepEqual(parameters, { host: "db", user: "me", dbname: "two" });
  assert.equal(password, "from-dsn");
  assert.throws(
    () => configured({ sslpassword: "hidden" }),
    (error: Error) => !error.message.includes("hidden"),
  );
});

test("SQLite and several databases are refused by name", () => {
  const refused = (database: object) => () =>
    databaseAddress({ serverName: "example.org", database } as unknown as Homeserver);
  assert.throws(refused({ kind: "sqlite", path: "/var/homeserver.db" }), {
    code: "database-unsupported",
    hint: /synlift port/,
  });
  assert.throws(refused({ kind: "several", labels: ["main", "state"] }), {
    code: "database-unsupported",
    message: /main, state/,
  });
});

test("as root, peer authentication is tried as the account that is named like the database user", async () => {
  const machine = realMachine(process.pid, "/");
  const { socketFolder, port } = cluster.address;
  const address = {
    parameters: { host: socketFolder, port: String(port), user: "nobody", dbname: "postgres" },
  };
  const connected = connect(address, { postgres, machine, files: realFiles });
  if (!machine.isRoot) {
    await assert.rejects(connected, { code: "database-unreachable", message: /Peer authentication failed/ });
    return;
  }
  const { session, address: found } = await connected;
  assert.equal(found.account?.name, "nobody");
  assert.deepEqual(await session.one("SELECT current_user AS me"), { me: "nobody" });
  await session.close();
  await assert.rejects(
    connect(address, { postgres, machine: { ...machine, isRoot: false }, files: realFiles }),
    { hint: /run synlift as root/ },
  );
});
