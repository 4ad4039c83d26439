import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readdirSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { startDnsServer } from "../support/dns-server.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { exportOf, makeSmallHomeserver } from "../support/small-homeserver.ts";
import { smallDisk } from "../support/small-disk.ts";
import { eventsOf, type Ran, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// What is in the source database and would make a dump or a restore fail: found by plan, and by export before it stops anything.

let cluster: PostgresCluster;
let work: string;

before(async () => {
  work = temporaryFolder("obstacles");
  cluster = await PostgresCluster.start();
  await cluster.createRole("reports", "x");
});
after(() => cluster.stop());

async function homeserver(name: string, sql: string) {
  const { parameters } = await makeMiniSynapse(cluster, name);
  await cluster.sql(name, sql);
  const args = { ...parameters, cp_min: 1 } as Record<string, string | number>;
  return makeSmallHomeserver({ database: { name: "psycopg2", args } } as never);
}

async function untilTrue(isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await isSo()); tries += 1) {
    assert.ok(tries < 600, "it does not come");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The levels that `plan` gives to these ids. */
const levels = (ran: Ran, id: string) =>
  resultOf(ran)
    .findings.filter((one) => one.id === id)
    .map(({ level }) => level);

const fenced = () =>
  cluster.sql("postgres", "select count(*) from pg_db_role_setting where setdatabase <> 0");

test("what a restore would fail at is named by plan and by export, and left out once a person accepts it", async () => {
  const home = await homeserver(
    "leaning",
    `create extension pg_stat_statements; create view slow as select query from pg_stat_statements;
     create function watch() returns event_trigger language plpgsql as 'begin end';
     create event trigger watched on ddl_command_end execute function watch();
     create policy reporting on rooms to reports using (true)`,
  );
  const ids = ["objects-of-extensions", "objects-of-superusers", "policies-of-roles"];
  await using dns = await startDnsServer({ zones: { "example.org": [] } });
  const plan = await synlift([
    ...["plan", "--config", home.configFile, "--working-directory", home.dataFolder, "--json"],
    ...["--resolver", `127.0.0.1:${dns.port}`],
  ]);
  for (const id of ids) assert.deepEqual(levels(plan, id), ["warning"], id);

  const out = join(work, "leaning");
  const refused = await synlift(exportOf(home, out));
  assert.equal(refused.code, 13, refused.stderr);
  for (const said of ["view public.slow", "event trigger watched", "policy reporting", "pg_stat_statements"])
    assert.match(refused.stderr, new RegExp(said));
  assert.equal(await fenced(), "0", "nothing is fenced");
  assert.equal(existsSync(join(out, "manifest.json")), false);

  const accepted = ids.flatMap((id) => ["--accept", id]);
  const custom = await synlift([...exportOf(home, out), ...accepted, "--db-format", "custom"]);
  assert.equal(custom.code, 13, custom.stderr);
  assert.match(custom.stderr, /left out, which --db-format custom cannot do/);

  const done = resultOf(await synliftWell([...exportOf(home, out), ...accepted]));
  const told = done.findings.find(({ id }) => id === "objects-of-extensions");
  assert.match(`${told?.level} ${told?.sentence}`, /^note .*left out of the bundle \(accepted\)/);

  const { host, port } = cluster.address;
  await synliftWell([
    ...["restore", out, "--database", `host=${host} port=${port} user=mover dbname=restored`],
    ...["--config-dir", join(work, "new"), "--media-dir", join(work, "media")],
    ...["--passphrase-file", `${out}.passphrase`, "--json"],
  ]);
  assert.equal(await cluster.sql("restored", "select count(*) from events"), "500");
  assert.equal(await cluster.sql("restored", "select to_regclass('slow') is null"), "t");
  assert.equal(await cluster.sql("restored", "select count(*) from pg_policy"), "0");
});

test("what a dump would fail at is found before anything is fenced", async () => {
  for (const [name, sql] of [
    ["hidden", "alter table rooms enable row level security; alter table rooms force row level security"],
    ["foreign", "select lo_create(4711)"],
    ["unread", "create table theirs (n int); create sequence theirs_too"],
  ] as const) {
    const home = await homeserver(name, sql);
    const before = await fenced();
    const ran = await synlift(exportOf(home, join(work, name)));
    assert.equal(ran.code, 13, ran.stderr);
    assert.match(ran.stderr, /the database cannot be dumped/);
    assert.equal(await fenced(), before);
  }
});

test("row security that does not concern the role, and large objects that it may read, are no matter; a unique index that is missing is said before the stop", async () => {
  const home = await homeserver(
    "readable",
    "alter table users drop constraint users_pkey; alter table rooms enable row level security; select lo_create(4712); grant select on large object 4712 to mover; set role mover; select lo_create(4713)",
  );
  const ran = await synliftWell(exportOf(home, join(work, "readable")));
  const events = eventsOf(ran);
  const said = events.findIndex(({ sentence = "" }) =>
    sentence.includes('users (name); CREATE UNIQUE INDEX CONCURRENTLY "users_name_key" ON "users" ("name");'),
  );
  const outage = events.findIndex(({ type }) => type === "outage");
  assert.ok(said >= 0 && said < outage, `${said} ${outage}`);
});

test("a disk that gets full while the database is dumped in PostgreSQL's own format is named, and what to do", async (t) => {
  const home = await homeserver("narrow", "select 1");
  const disk = await smallDisk(t, "2m");
  // Room for the configuration alone.
  writeFileSync(join(disk, "ballast"), Buffer.alloc(2000 * 1024));
  const passphrase = join(work, "narrow.passphrase");
  writeFileSync(passphrase, "0123456789".repeat(4), { mode: 0o600 });
  const out = join(disk, "bundle");
  const packing = [...exportOf(home, out), "--db-format", "custom", "--passphrase-file", passphrase];
  const ran = await synlift(packing);
  assert.equal(ran.code, 33, ran.stderr);
  const { message, hint } = eventsOf(ran).at(-1)!;
  assert.equal(message, `cannot write ${join(out, "customer_db_export.dump.gz.gpg")}: no space left`);
  assert.match(hint!, /free some space there, then run the same command again/);
  assert.deepEqual(
    readdirSync(out).filter((name) => name.includes("db_export")),
    [],
  );
});

test("a rehearsal tries the schema on another server, and names what that rejects before anything is packed; killed, it leaves nothing for ever", async () => {
  const home = await homeserver(
    "tried",
    "create table guestbook (n int); alter table guestbook owner to mover; create function replaying() returns int language sql set session_replication_role = replica as 'select 1'",
  );
  const out = join(work, "tried");
  const { host, port } = cluster.address;
  const rehearse = [
    ...[...exportOf(home, out), "--rehearse"],
    ...["--try-on", `host=${host} port=${port} user=mover dbname=postgres`],
  ];
  const trials = "select count(*) from pg_database where datname like 'synlift_trial_%'";
  // The trial waits for this table, so that it can be killed in its midst.
  const locking = assert.rejects(cluster.sql("tried", "begin; lock table guestbook; select pg_sleep(600)"));
  const killed = synlift(rehearse, {
    started: (child) =>
      untilTrue(async () => (await cluster.sql("postgres", trials)) === "1").finally(() =>
        child.kill("SIGKILL"),
      ),
  });
  assert.equal((await killed).signal, "SIGKILL");
  assert.equal(await cluster.sql("postgres", trials), "1");
  await cluster.sql(
    "postgres",
    "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()",
  );
  await locking;

  const failed = await synlift(rehearse);
  assert.match(
    failed.stderr,
    /the throw-away database synlift_trial_[0-9a-f]{32}, which an interrupted run had left, was dropped/,
  );
  assert.equal(await cluster.sql("postgres", trials), "0");
  assert.equal(failed.code, 60, failed.stderr);
  assert.match(failed.stderr, /function public\.replaying\(\): permission denied to set parameter/);
  assert.equal(existsSync(join(out, "manifest.json")), false);
  const { findings } = resultOf(await synliftWell([...rehearse, "--accept", "schema-trial"]));
  assert.equal(findings.find(({ id }) => id === "schema-trial")?.level, "note");
});

test("damage in a SQLite file is found by export too, while the server may still run", async () => {
  const home = await makeSmallHomeserver({
    database: { name: "sqlite3", args: { database: "homeserver.db" } },
  } as never);
  const path = join(home.dataFolder, "homeserver.db");
  const database = new DatabaseSync(path);
  database.exec("create table users (name text primary key)");
  database.exec(
    "with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000) insert into users select 'user' || i from n",
  );
  database.close();
  const handle = openSync(path, "r+");
  const middle = Math.floor(statSync(path).size / 2 / 4096) * 4096;
  writeSync(handle, Buffer.alloc(200, 0x5a), 0, 200, middle);
  closeSync(handle);
  const ran = await synlift(exportOf(home, join(work, "damaged")));
  assert.equal(ran.code, 13, ran.stderr);
  assert.match(ran.stderr, /SQLite finds damage in/);
});
