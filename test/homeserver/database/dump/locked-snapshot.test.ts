import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { collect } from "../../../support/bytes.ts";
import { PostgresCluster } from "../../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { addressIn, makeMiniSynapse } from "../../../support/mini-synapse.ts";
import { lock, pack, postgres } from "../../../support/moved-database.ts";
import { programsBefore } from "../../../support/real-world.ts";
import { Recorder } from "../../../support/recorder.ts";

// A dump of a live server, whose background updates lock and drop tables while it begins.

/** As Synapse makes it while it populates the user directory, and drops it when that is done. */
const PASSING = "_temp_populate_user_directory_rooms";
const LOCK_WAIT = 2000;

let cluster: PostgresCluster;
let progress: Recorder;

before(async () => {
  // What this server says cannot be what is gone by.
  cluster = await PostgresCluster.start({ language: "de_DE" });
  await makeMiniSynapse(cluster, "live");
});
after(() => cluster.stop());

beforeEach(async () => {
  progress = new Recorder();
  await cluster.sql(
    "live",
    `create table if not exists ${PASSING} (room_id text); grant all on ${PASSING} to mover`,
  );
});

const packed = (given: Parameters<typeof pack>[1] = {}) =>
  pack(addressIn(cluster, "live"), { lockTimeout: LOCK_WAIT, progress, ...given });

/** Until somebody waits for a lock on this table. */
async function waitedFor(table: string): Promise<void> {
  const session = await postgres.connect(addressIn(cluster, "live", "postgres"), { writes: true });
  for (;;) {
    const { waiting } = await session.one<{ waiting: boolean }>(
      `SELECT count(*) > 0 AS waiting FROM pg_locks WHERE relation = '${table}'::regclass AND NOT granted`,
    );
    if (waiting) break;
  }
  await session.close();
}

/** A pg_dump, the first of which begins when something else has happened. */
function pgDumpAfter(script: string) {
  const mark = join(temporaryFolder("mark"), "once");
  const { host, port } = cluster.address;
  const psql = `psql -X -q -h ${host} -p ${port} -U postgres -d live -c`;
  const once = `case "$*" in *--version*) ;; *) if mkdir ${mark} 2>/dev/null; then ${script.replaceAll("PSQL", psql)}; fi ;; esac`;
  const programs = programsBefore({ pg_dump: `${once}\nexec /usr/bin/pg_dump "$@"` });
  return { programs, happened: () => existsSync(mark) };
}

test("a table that is dropped between our look and pg_dump's lock costs a second beginning, and is in neither dump nor count", async () => {
  const droppedOrWaiting = `select 'so' where to_regclass('${PASSING}') is null or exists (select from pg_locks where not granted)`;
  const { programs, happened } = pgDumpAfter(
    `(PSQL 'drop table ${PASSING}' >/dev/null 2>&1 &) ; until PSQL "${droppedOrWaiting}" | grep -qw so; do sleep 0.05; done`,
  );
  const { section } = await packed({ programs });
  assert.ok(happened());
  assert.equal(progress.notes.length, 1, progress.notes.join("\n"));
  assert.match(progress.notes[0]!, /the dump is started again/);
  assert.ok(!(`public.${PASSING}` in section.rows));
  assert.equal(section.rows["public.events"], 500);
});

test("a table that somebody locks for a while is waited for, and one that is locked for longer once more", async () => {
  for (const [seconds, notes] of [
    [0.5, 0],
    [3, 1],
  ] as const) {
    progress = new Recorder();
    const session = await postgres.connect(addressIn(cluster, "live", "postgres"), { writes: true });
    await session.begin();
    await session.run(`LOCK TABLE ${PASSING} IN ACCESS EXCLUSIVE MODE;`);
    const ended = new Promise((resolve) => setTimeout(resolve, seconds * 1000)).then(() =>
      session.run(
        `DROP TABLE ${PASSING}; CREATE TABLE ${PASSING} (room_id text); GRANT ALL ON ${PASSING} TO mover; COMMIT;`,
      ),
    );
    const { section } = await packed();
    await ended;
    await session.close();
    assert.equal(section.rows["public.events"], 500);
    assert.ok(progress.notes.length >= notes, `${seconds}: ${progress.notes.join()}`);
  }
});

test("a table that is dropped while the dump is made stays in it, as in its count", async () => {
  // Nobody reads what it prints for so long that it stays on its way.
  const dropped = join(temporaryFolder("mark"), "dropped");
  const slow = `case "$*" in *--version*) exec /usr/bin/pg_dump "$@" ;; esac\n/usr/bin/pg_dump "$@" | (until [ -e ${dropped} ]; do sleep 0.05; done; cat)`;
  const dump = packed({ programs: programsBefore({ pg_dump: slow }) });
  const session = await postgres.connect(addressIn(cluster, "live", "postgres"), { writes: true });
  for (;;) {
    const { held } = await session.one<{ held: number }>(
      `SELECT count(DISTINCT pid)::int AS held FROM pg_locks WHERE relation = '${PASSING}'::regclass`,
    );
    if (held === 2) break;
  }
  const dropping = session.run(`DROP TABLE ${PASSING};`);
  await waitedFor(PASSING);
  writeFileSync(dropped, "");
  const { section } = await dump;
  await dropping;
  await session.close();
  assert.deepEqual(progress.notes, []);
  assert.equal(section.rows[`public.${PASSING}`], 0);
});

test("a table that is rewritten while its lock is waited for has all its rows in dump and count, and one that comes with it too", async () => {
  await cluster.sql(
    "live",
    "create table growing as select n from generate_series(1, 1000) n; grant all on growing to mover",
  );
  for (const [also, type, notes] of [
    ["", "bigint", 0],
    ["CREATE TABLE newcomer AS SELECT 1 AS n; GRANT ALL ON newcomer TO mover;", "numeric", 1],
  ] as const) {
    progress = new Recorder();
    const session = await postgres.connect(addressIn(cluster, "live", "postgres"), { writes: true });
    await session.begin();
    await session.run(`ALTER TABLE growing ALTER n TYPE ${type}; ${also}`);
    const dump = packed();
    await waitedFor("growing");
    await session.run("COMMIT;");
    await session.close();
    const { section, bundle, artifact } = await dump;
    assert.equal(progress.notes.length, notes, progress.notes.join("\n"));
    assert.equal(section.rows["public.growing"], 1000);
    const text = (await collect(bundle.decrypted(artifact, lock))).toString();
    assert.match(text, /^COPY public\.growing .*\n(?:\d+\n){1000}\\\.$/m);
    if (also !== "") assert.equal(section.rows["public.newcomer"], 1);
  }
  await cluster.sql("live", "drop table growing, newcomer");
});

test("a count that fails ends the dump at once, is told in its own words, and nothing is begun again", async () => {
  const address = await makeMiniSynapse(cluster, "lacking");
  await cluster.sql("lacking", "drop table local_media_repository_url_cache");
  const begun = join(temporaryFolder("mark"), "begun");
  const slow = `case "$*" in *--version*) exec /usr/bin/pg_dump "$@" ;; esac\necho once >>${begun}; echo --; exec sleep 60`;
  const before = Date.now();
  await assert.rejects(
    pack(address, { lockTimeout: LOCK_WAIT, progress, programs: programsBefore({ pg_dump: slow }) }),
    {
      code: "program-failed",
      message: /^a query on lacking .* failed: Relation »local_media_repository_url_cache« existiert nicht/,
    },
  );
  assert.ok(Date.now() - before < 50_000, "the dump would have gone on for a minute");
  if (existsSync(begun)) assert.equal(readFileSync(begun, "utf8"), "once\n");
  assert.deepEqual(progress.notes, []);
});

test("a table that stays locked ends it, with what shows who holds it", async () => {
  const session = await postgres.connect(addressIn(cluster, "live", "postgres"), { writes: true });
  await session.begin();
  await session.run(`LOCK TABLE rooms IN ACCESS EXCLUSIVE MODE;`);
  await assert.rejects(packed({ lockTimeout: 300 }), {
    code: "program-failed",
    message: /stay locked or .*: .*Zeitüberschreitung einer Sperre/,
    hint: /pg_stat_activity/,
  });
  assert.equal(progress.notes.length, 2);
  const { pid } = await session.one<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  const hint = await postgres.connect(addressIn(cluster, "live", "postgres"), { writes: true });
  const held = await hint.all<{ pid: number }>(
    "SELECT pid FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock')",
  );
  assert.deepEqual(held, [{ pid }]);
  for (const one of [session, hint]) await one.close();
});
