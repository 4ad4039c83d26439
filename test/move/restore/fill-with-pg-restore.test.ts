import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Interrupted } from "../../../src/errors.ts";
import { assertDumpFormat } from "../../../src/homeserver/database/dump/format.ts";
import {
  type BegunRestore,
  emptyDatabase,
  markHalfFilled,
  newMark,
} from "../../../src/homeserver/database/fill/interrupted.ts";
import { runPgRestore } from "../../../src/homeserver/database/fill/pg-restore.ts";
import { UNENCRYPTED_DUMP } from "../../../src/homeserver/database/fill/unencrypted-dump.ts";
import type { DumpEntry } from "../../../src/homeserver/database/dump/left-out.ts";
import type { DatabaseSource } from "../../../src/homeserver/database/source.ts";
import { verifyDatabase } from "../../../src/homeserver/database/verify.ts";
import { Journal } from "../../../src/journal/journal.ts";
import { fillWithPgRestore } from "../../../src/move/restore/fill-with-pg-restore.ts";
import type { Bytes } from "../../../src/pipeline/transform.ts";
import { realFiles, type Unfinished } from "../../../src/system/files/files.ts";
import { type PostgresAddress, realPostgres } from "../../../src/system/postgres/postgres.ts";
import { noProgress } from "../../../src/system/progress.ts";
import type { System } from "../../../src/system/system.ts";
import { breaksAfter, BROKEN, chunked, collect } from "../../support/bytes.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { addressIn, makeMiniSynapse, relationsIn } from "../../support/mini-synapse.ts";
import { lock, pack, type Packed } from "../../support/moved-database.ts";
import { programsBefore, programsWith, scriptsIn } from "../../support/real-world.ts";

let cluster: PostgresCluster;
let packed: Packed;
let archive: Buffer;
let made = 0;

before(async () => {
  cluster = await PostgresCluster.start();
  packed = await pack(await makeMiniSynapse(cluster, "old"), { format: "custom" });
  archive = await collect(packed.bundle.decrypted(packed.artifact, lock));
});
after(() => cluster.stop());

const newName = () => `new${++made}`;

interface How {
  readonly address: PostgresAddress;
  readonly content?: Bytes;
  /** What the journal of an earlier run says. */
  readonly begun?: BegunRestore;
  readonly signal?: AbortSignal;
  readonly folder?: string;
  readonly jobs?: number;
  readonly bytes?: number;
}

/** Fills a database, and answers what the journal was told, and by which mark it is to be known. */
async function filled({ address, content = chunked(archive), begun, signal, ...more }: How) {
  const programs = programsWith({}, signal);
  const machine = machineWith();
  const system = { files: realFiles, programs, postgres: realPostgres(programs), machine };
  const journal = await Journal.open(join(temporaryFolder("journal"), "journal.json"), realFiles);
  const {
    folder = join(temporaryFolder("media"), "media.spool.clear"),
    jobs = 2,
    bytes = archive.length,
  } = more;
  const write = async (file: Unfinished) => {
    for await (const chunk of content) await file.write(chunk);
  };
  const marks: string[] = [];
  const told: { mark?: string } = {};
  const half = (mark: string) => {
    told.mark = mark;
    marks.push("half");
    return Promise.resolve();
  };
  const whole = () => Promise.resolve(marks.push("whole")).then(() => undefined);
  const filling = fillWithPgRestore(
    address,
    { store: "main", target: { engine: "postgres", address }, section: packed.section },
    {
      id: "the-bundle",
      write,
      bytes,
      label: "database",
      begun,
      marks: { partlyFilled: half, filled: whole },
    },
    { from: { folder, jobs }, owner: undefined, journal },
    system as unknown as System,
    noProgress,
  );
  return filling
    .then(() => undefined)
    .catch((error: unknown) => error)
    .then((error) => {
      if (!more.folder) assert.ok(!existsSync(folder), "no unencrypted dump is left");
      assert.deepEqual(journal.facts, {}, "and the journal knows of none");
      return { error: error as Error & { code?: string; hint?: string }, marks, mark: told.mark };
    });
}

async function blockers(name: string) {
  const session = await realPostgres(programsWith()).connect(addressIn(cluster, name));
  const found = await verifyDatabase(packed.section, session).finally(() => session.close());
  return found.filter(({ level }) => level !== "ok");
}

test("what was packed is filled in by one connection or several, and passes every gate", async () => {
  for (const jobs of [1, 3]) {
    const name = newName();
    const { error, marks } = await filled({ address: addressIn(cluster, name), jobs });
    assert.equal(error, undefined);
    assert.deepEqual(marks, ["half", "whole"]);
    assert.deepEqual(await blockers(name), []);
    const owners = "select distinct tableowner from pg_tables where schemaname = 'public'";
    assert.equal(await cluster.sql(name, owners), "mover");
  }
});

test("the dump is its owner's alone to read while it lies there", async () => {
  const folder = join(temporaryFolder("media"), "media.spool.clear");
  const seen: number[] = [];
  const watched = async function* (): Bytes {
    yield* chunked(archive);
    seen.push(statSync(folder).mode & 0o777);
    for (const name of readdirSync(folder)) seen.push(statSync(join(folder, name)).mode & 0o777);
  };
  await filled({ address: addressIn(cluster, newName()), content: watched(), folder });
  assert.deepEqual(seen, [0o700, 0o600]);
});

test("a dump that breaks off, or is not whole, never reaches the database", async () => {
  const name = newName();
  await cluster.createDatabase(name, { owner: "mover" });
  const address = addressIn(cluster, name);
  const half = archive.subarray(0, archive.length >> 1);
  for (const [content, said] of [
    [breaksAfter(half), BROKEN],
    [
      packed.bundle.decrypted(packed.artifact, lock, { size: 1000, sha256: "" }),
      /is larger than the 1000 bytes that were packed/,
    ],
  ] as const) {
    const { error, marks } = await filled({ address, content });
    assert.match(error.message, said instanceof RegExp ? said : new RegExp(said));
    assert.deepEqual(marks, []);
  }
  assert.equal(await relationsIn(cluster, name), 0);
});

test("where the database before it has filled the disk, it is said before anything is written", async () => {
  const name = newName();
  await cluster.createDatabase(name, { owner: "mover" });
  const { error, marks } = await filled({ address: addressIn(cluster, name), bytes: 2 ** 60 });
  assert.equal(error.code, "disk-full");
  assert.match(error.message, /the decrypted dump needs/);
  assert.deepEqual(marks, []);
});

test("a folder that is there already is left as it is", async () => {
  const folder = join(temporaryFolder("media"), "media.spool.clear");
  mkdirSync(folder);
  writeFileSync(join(folder, UNENCRYPTED_DUMP), "mine");
  const { error } = await filled({ address: addressIn(cluster, newName()), folder });
  assert.equal(error.code, "target-not-empty");
  assert.equal(statSync(join(folder, UNENCRYPTED_DUMP)).size, 4);
});

/** As corrupted indexes leave it: two rows where one may be. All rows come, then an index that cannot be made. */
async function packDamaged(): Promise<Buffer> {
  const source = newName();
  await makeMiniSynapse(cluster, source);
  await cluster.sql(
    source,
    `alter table users drop constraint users_pkey; insert into users select * from users limit 1;
     set allow_system_table_mods = on; create unique index users_pkey on users (name) where false;
     update pg_index set indpred = null where indexrelid = 'users_pkey'::regclass;`,
  );
  const { bundle, artifact } = await pack(addressIn(cluster, source), { format: "custom" });
  return collect(bundle.decrypted(artifact, lock));
}

let damaged: Promise<Buffer> | undefined;
const damagedContent = async () => chunked(await (damaged ??= packDamaged()));

test("a statement that fails stops it, and the error quotes no row", async () => {
  const name = newName();
  const content = await damagedContent();
  const { error, marks, mark } = await filled({ address: addressIn(cluster, name), content });
  assert.equal(error.code, "restore-failed");
  assert.match(error.message, /could not execute query(, at .*users_pkey mover)? \(/);
  assert.doesNotMatch(JSON.stringify(error, Object.getOwnPropertyNames(error)), /@user/);
  assert.match(error.hint ?? "", /it empties the database, after confirmation/);
  assert.deepEqual(marks, ["half"]);
  const { error: again } = await filled({ address: addressIn(cluster, name), begun: { mark } });
  assert.equal(again, undefined);
  assert.deepEqual(await blockers(name), []);
});

test("a run that is stopped while pg_restore works leaves it half filled, and the next one fills it", async () => {
  const name = newName();
  await cluster.createDatabase(name, { owner: "mover" });
  const address = addressIn(cluster, name);
  // Everybody waits at the first table that has TOAST, so an index; the mark has no column.
  const lockHolder = await realPostgres(programsWith()).connect(addressIn(cluster, name, "postgres"), {
    writes: true,
  });
  await lockHolder.begin();
  await lockHolder.run("LOCK TABLE pg_catalog.pg_index IN SHARE MODE;");
  const stop = new AbortController();
  const running = filled({ address, signal: stop.signal });
  const waiting = "select count(*) from pg_stat_activity where application_name = 'synlift pg_restore'";
  while ((await cluster.sql("postgres", waiting)) === "0")
    await new Promise((resolve) => setTimeout(resolve, 20));
  stop.abort(new Interrupted("SIGINT"));
  const { error, marks, mark } = await running;
  assert.ok(error instanceof Interrupted);
  assert.deepEqual(marks, ["half"]);
  await lockHolder.close();
  assert.equal((await filled({ address, begun: { mark } })).error, undefined);
  assert.deepEqual(await blockers(name), []);
});

/** A database that a run has half filled, and under which mark. */
async function halfFilled() {
  const name = newName();
  const address = addressIn(cluster, name);
  const { error, mark } = await filled({ address, content: await damagedContent() });
  assert.equal(error.code, "restore-failed");
  return { name, address, begun: { mark } };
}

const users = (name: string) => cluster.sql(name, "select count(*) from users");

test("a database that bears another mark, or none, is not emptied, though its tables are the bundle's", async () => {
  const { name, address, begun } = await halfFilled();
  for (const mark of [newMark(machineWith().uuid()), undefined]) {
    const { error } = await filled({ address, begun: { mark } });
    assert.equal(error.code, "target-not-empty");
    assert.match(error.message, /its mark is missing/);
    assert.match(error.hint ?? "", /drop the database and run the same command again/);
  }
  await cluster.sql("postgres", `drop database ${name}`);
  assert.equal((await filled({ address })).error, undefined);
  await cluster.sql(name, "insert into users values ('@new:example.org')");
  assert.match((await filled({ address, begun })).error.message, /its mark is missing/);
  assert.equal(await users(name), "21");
});

test("while somebody else is connected nothing is emptied, nor where tables were added since the confirmation", async () => {
  const { name, address, begun } = await halfFilled();
  const server = await realPostgres(programsWith()).connect(addressIn(cluster, name, "postgres"));
  await server.runAlone("SET application_name = 'synapse';");
  const { error } = await filled({ address, begun });
  assert.equal(error.code, "target-not-empty");
  assert.match(error.message, /other clients are connected .*: postgres \(synapse\)/);
  await server.close();
  await cluster.sql(name, "create table of_mine ()");
  assert.match((await filled({ address, begun })).error.message, /not in the bundle: public\.of_mine/);
  assert.equal(await users(name), "21");
  await cluster.sql(name, "drop table of_mine");
  assert.equal((await filled({ address, begun })).error, undefined);
  assert.deepEqual(await blockers(name), []);
});

/** Runs what a command is to run, without the variables before it. */
const PASS_ON = 'while [ "${1#*=}" != "$1" ] || [ "$1" = env ]; do shift; done; exec "$@"';

test("a server that ends the connections is told, and so is a pg_restore that is missing or too old", async () => {
  const there = (script: string) => [join(scriptsIn({ there: script }), "there")];
  const at = (script: string) =>
    filled({ address: { ...addressIn(cluster, newName()), commandPrefix: there(script) } });
  const died = `case "$*" in *pg_restore*--dbname*) cat >/dev/null; echo 'pg_restore: error: connection to server was lost' >&2; exit 1;; esac; ${PASS_ON}`;
  const lost = await at(died);
  assert.match(lost.error.message, /could not be restored: connection to server was lost/);
  const newer = `case "$*" in *pg_restore*--dbname*) cat >/dev/null; echo 'pg_restore: error: unsupported version (1.17) in file header' >&2; exit 1;; esac; ${PASS_ON}`;
  assert.equal((await at(newer)).error.code, "program-too-old");
  const killed = `case "$*" in *pg_restore*--dbname*) kill -9 $$;; esac; ${PASS_ON}`;
  assert.match((await at(killed)).error.message, /killed by SIGKILL/);
});

test("the hint says what is left: nothing of one transaction, and an incomplete database where it was not finished", async () => {
  const commandPrefix = [join(scriptsIn({ there: PASS_ON }), "there")];
  const target = { ...addressIn(cluster, newName()), commandPrefix };
  const undone = await filled({ address: target, content: await damagedContent() });
  assert.equal(undone.error.code, "restore-failed");
  assert.match(undone.error.hint ?? "", /^the transaction was rolled back/);
  assert.equal((await filled({ address: target, begun: { mark: undone.mark } })).error, undefined);

  const name = newName();
  const finishing = `case "$*" in *--output=/dev/null*) echo 'psql: error: connection to server was lost' >&2; exit 2;; esac; ${PASS_ON}`;
  const address = {
    ...addressIn(cluster, name),
    commandPrefix: [join(scriptsIn({ there: finishing }), "there")],
  };
  const unfinished = await filled({ address });
  assert.equal(unfinished.error.code, "restore-failed");
  assert.match(unfinished.error.hint ?? "", /^the database is incomplete now.*after confirmation/);
  assert.equal(await users(name), "20");
  assert.notDeepEqual(await blockers(name), []);
});

test("where the dump cannot be read to its end pg_restore is ended, and one that is gone is given no more", async () => {
  const pid = join(temporaryFolder("pid"), "pid");
  const at = (script: string, content: Bytes) =>
    runPgRestore(
      { ...addressIn(cluster, "never_made"), commandPrefix: [join(scriptsIn({ there: script }), "there")] },
      { folder: "/nowhere", pgRestore: "pg_restore", jobs: 1 },
      { programs: programsWith(), files: { ...realFiles, read: () => content } },
    );
  await assert.rejects(at(`echo $$ > ${pid}; exec cat`, breaksAfter(archive)), { message: BROKEN });
  const running = Number(await realFiles.readText(pid));
  assert.throws(() => process.kill(running, 0), { code: "ESRCH" });

  let given = 0;
  const long = async function* (): Bytes {
    for (; given < 5000; given += 1) {
      yield archive;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await assert.rejects(at("exit 1", long()), { code: "restore-failed" });
  assert.ok(given < 5000, "it read on");
});

test("where the programs are elsewhere, pg_restore reads it from its input, by one connection", async () => {
  const name = newName();
  const log = join(temporaryFolder("log"), "log");
  const commandPrefix = [join(scriptsIn({ there: `echo "$@" >> ${log}; ${PASS_ON}` }), "there")];
  const { error } = await filled({
    address: { ...addressIn(cluster, name), commandPrefix },
    jobs: 4,
  });
  assert.equal(error, undefined);
  assert.deepEqual(await blockers(name), []);
  const said = (await realFiles.readText(log))
    .split("\n")
    .find((line) => line.includes("--dbname=") && line.includes("pg_restore"));
  assert.match(said ?? "", /--single-transaction/);
  assert.doesNotMatch(said ?? "", /--jobs/);
});

test("where PostgreSQL is asked as another account, that one can read the dump, or the way there is named", async (t) => {
  const account = machineWith().account("nobody");
  if (process.getuid?.() !== 0 || !account) {
    t.diagnostic("only root can give files away");
    return;
  }
  const above = temporaryFolder("closed");
  const folder = join(above, "media.spool.clear");
  const name = newName();
  const address = { ...addressIn(cluster, name), account };
  chmodSync(above, 0o700);
  const { error, mark } = await filled({ address, folder });
  const closed = error as { code?: string; hint?: string } | undefined;
  if (closed) {
    assert.equal(closed.code, "permission-denied");
    assert.match(closed.hint ?? "", /--spool/);
    chmodSync(above, 0o711);
    assert.equal((await filled({ address, folder, begun: { mark } })).error, undefined);
  }
  assert.deepEqual(await blockers(name), []);
});

test("emptying takes everything that a dump may bring, and leaves what belongs to an extension", async () => {
  const name = newName();
  await cluster.createDatabase(name, { owner: "mover" });
  const count = () =>
    cluster.sql(
      name,
      `select (select count(*) from pg_class where relnamespace = 'public'::regnamespace), (select count(*) from pg_proc where pronamespace = 'public'::regnamespace),
       (select count(*) from pg_type where typnamespace = 'public'::regnamespace), (select count(*) from pg_namespace)`,
    );
  await cluster.sql(name, "create extension pg_trgm");
  const before = await count();
  await cluster.sql(
    name,
    `set role mover;
     create table a (id bigserial primary key, always bigint generated always as identity);
     create table b (id bigint references a); create sequence s; create view v as select * from a;
     create materialized view m as select * from v; create table p (n int) partition by range (n);
     create table p1 partition of p for values from (0) to (9); create type mood as enum ('good'); create domain d as text;
     create table c (how mood, what d); create function f() returns trigger language plpgsql as 'begin return new; end';
     create trigger t before insert on a for each row execute function f(); create procedure q() language sql as '';
     create aggregate g(int) (sfunc = int4pl, stype = int);
     create schema "their ""own"; create table "their ""own".t (how mood); create index on a using btree (id, always);`,
  );
  const programs = programsWith();
  const world = { postgres: realPostgres(programs), machine: machineWith() };
  const mark = newMark(world.machine.uuid());
  const names = ["public.a", "public.b", "public.c", "public.p1", 'their "own.t'];
  const left = { mark, rows: Object.fromEntries(names.map((one) => [one, 0])) };
  await markHalfFilled(addressIn(cluster, name), { mark, from: "bundle the-bundle" }, world.postgres);
  await emptyDatabase(addressIn(cluster, name), left, world);
  assert.equal(await count(), before);
  await emptyDatabase(addressIn(cluster, name), left, world);
  await emptyDatabase(addressIn(cluster, "never_made"), left, world);
});

test("SQLite, and a pg_dump that is newer than this program, cannot be dumped so, and nothing was touched", async () => {
  const programs = programsBefore({ "pg_dump-19": "echo 'pg_dump (PostgreSQL) 19.1'" });
  const sqlite = { engine: "sqlite", path: "/srv/homeserver.db", size: 1, findings: [] } as const;
  await assert.rejects(assertDumpFormat(sqlite, "custom", programs), {
    code: "database-unsupported",
    message: /\/srv\/homeserver\.db is SQLite/,
  });
  await assertDumpFormat(sqlite, "plain", programs);
  const postgres = {
    engine: "postgres",
    pgDump: "pg_dump",
    address: { parameters: {} },
    leftOut: [] as readonly DumpEntry[],
  } as DatabaseSource;
  await assertDumpFormat(postgres, "custom", programs);
  await assert.rejects(
    assertDumpFormat({ ...postgres, pgDump: "pg_dump-19" } as DatabaseSource, "custom", programs),
    {
      code: "database-unsupported",
      message: /pg_dump 19.1 is newer than this synlift/,
    },
  );
});
