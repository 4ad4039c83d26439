import assert from "node:assert/strict";
import { chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readSequences } from "../../src/homeserver/database/count.ts";
import { copySequences, waitForApplied } from "../../src/homeserver/database/follow/logical/applied.ts";
import { contentsOf, copyDatabase } from "../../src/homeserver/database/follow/logical/copy.ts";
import {
  type IdentityChange,
  resetIdentity,
  setIdentities,
} from "../../src/homeserver/database/follow/logical/identities.ts";
import {
  createPublication,
  dropPublication,
} from "../../src/homeserver/database/follow/logical/publication.ts";
import { schemaChanges } from "../../src/homeserver/database/follow/logical/schema.ts";
import { createSlot, dropSlot } from "../../src/homeserver/database/follow/logical/slot.ts";
import {
  assertMaySubscribe,
  detachSubscription,
  pauseSubscription,
  resumeSubscription,
  subscribe,
} from "../../src/homeserver/database/follow/logical/subscription.ts";
import { planPublication } from "../../src/homeserver/database/follow/logical/tables.ts";
import type { MigrationError } from "../../src/errors.ts";
import type { LogicalCopy } from "../../src/move/follow/logical/choose.ts";
import { watchLogical } from "../../src/move/follow/logical/watch.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realMachine } from "../../src/system/machine.ts";
import {
  type PostgresAddress,
  type PostgresSession,
  realPostgres,
} from "../../src/system/postgres/postgres.ts";
import { noProgress } from "../../src/system/progress.ts";
import type { System } from "../../src/system/system.ts";
import {
  PostgresCluster,
  postgresPrograms,
  serverMajors,
  unprivilegedAccount,
} from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeOldServer, type OldServer } from "../support/old-server.ts";
import { programsWith, scriptsIn } from "../support/real-world.ts";

const programs = programsWith();
const postgres = realPostgres(programs);
const machine = realMachine(process.pid, process.cwd());
const signal = new AbortController().signal;

const FOLLOWER = "synlift_follow";
const SLOT = "synlift_0123456789abcdef";
const PUBLICATION = "synlift_0123456789abcdef";
const PASSWORD = "follow me: 'if' \\you can";

let old: OldServer;
/** As PostgreSQL's administrator there. */
let owner: PostgresAddress;
/** As the new host reaches it. */
let source: PostgresAddress;
let serverVersion: number;
/** The tables' identities before anything. */
let untouched: string;

/** The first version that can be a target, and the newest. */
const TARGETS = [...new Set([serverMajors().find((major) => major >= 16)!, Math.max(...serverMajors())])];

const identities = () =>
  old.cluster.sql(
    "old",
    "select relname, relreplident from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1",
  );

const closing: { close(): Promise<void> }[] = [];

/** A session that the end of the tests closes. */
async function connect(address: PostgresAddress): Promise<PostgresSession> {
  const session = await postgres.connect(address, { writes: true });
  closing.push(session);
  return session;
}

const asOwner = () => postgres.connect(owner, { writes: true });
const changing = { connect: asOwner, machine, progress: noProgress, signal };

/** The way for a server to the old database, with the password in a file of the server's account. */
function wayForServer(): { publisher: Record<string, string>; passfile: string } {
  const passfile = join(temporaryFolder("passfile", unprivilegedAccount()), "passfile");
  writeFileSync(passfile, `*:*:*:*:${PASSWORD.replaceAll(/[\\:]/g, "\\$&")}\n`, { mode: 0o600 });
  const account = unprivilegedAccount();
  if (account) chownSync(passfile, account.uid, account.gid);
  return { publisher: { ...source.parameters }, passfile };
}

before(async () => {
  old = await makeOldServer({
    stopped: true,
    settings: { wal_level: "logical" },
    access: [`local all ${FOLLOWER} scram-sha-256`],
  });
  const { socketFolder: host, port } = old.cluster.address;
  const place = { host, port: `${port}`, dbname: "old" };
  owner = { parameters: { ...place, user: "postgres" } };
  source = { parameters: { ...place, user: FOLLOWER }, password: PASSWORD };
  serverVersion = Number(await old.cluster.sql("old", "show server_version_num"));
  await old.cluster.sql(
    "old",
    `create role ${FOLLOWER} login replication password '${PASSWORD.replaceAll("'", "''")}' in role pg_monitor, pg_read_all_data`,
  );
  untouched = await identities();
});
after(async () => {
  for (const one of closing) await one.close();
  await old.cluster.stop();
});

/** Makes the old database ready, copies it in the slot's snapshot, and subscribes. `meanwhile` runs while the snapshot is held. */
async function follow(target: PostgresCluster, meanwhile: () => Promise<unknown>) {
  await target.sql("postgres", "create role new login");
  await target.createDatabase("new", { owner: "new" });
  const place = { host: target.address.socketFolder, port: `${target.address.port}`, dbname: "new" };
  const here = { parameters: { ...place, user: "new" } };
  const session = await connect(owner);
  const changes: IdentityChange[] = [];
  const plan = await planPublication(session);
  const record = (change: IdentityChange) => Promise.resolve(void changes.push(change));
  await setIdentities(plan, { ...changing, record });
  await createPublication(session, { name: PUBLICATION, slot: SLOT });
  const slot = await createSlot({ address: source, slot: SLOT, serverVersion, psql: "psql" }, programs);
  await meanwhile();
  const held = await copyDatabase(
    {
      ...{ source, target: here, tables: plan.tables, jobs: 2 },
      snapshot: slot.snapshot,
      folder: temporaryFolder("definitions"),
      data: target.dataFolder,
      programs: { pgDump: "pg_dump", pgRestore: "pg_restore", psql: "psql" },
      snapshotRead: () => slot.close(),
    },
    { postgres, programs, files: realFiles, machine, progress: noProgress, signal },
  );
  const administrator = await connect({ parameters: { ...place, user: "postgres" } });
  await assertMaySubscribe(administrator);
  const way = { name: SLOT, publication: PUBLICATION, slot: SLOT, ...wayForServer() };
  await subscribe(administrator, way);
  return { changes, plan, held, administrator, writer: await connect(here), source: await connect(source) };
}

/** Takes everything back on the old host, twice: an undo may be repeated. */
async function undo(changes: readonly IdentityChange[]): Promise<void> {
  for (let times = 0; times < 2; times += 1) {
    await dropPublication(await connect(owner), PUBLICATION);
    for (const change of changes) await resetIdentity(change, changing);
    await dropSlot(await connect(source), SLOT, machine);
  }
}

const until = async (publisher: PostgresSession, patience = 120_000) =>
  waitForApplied(publisher, {
    ...{ slot: SLOT, patience, machine, signal },
    position: await old.cluster.sql("old", "select pg_current_wal_insert_lsn()"),
  });

const inbox = (name: string, id: number) =>
  `insert into device_inbox (user_id, device_id, stream_id, message_json) values ('@${name}:x', 'D', ${id}, '{}');`;

for (const major of TARGETS)
  test(`a database of Synapse follows to PostgreSQL ${major}: rows, sequences and identities are right at the cut, and nothing is left behind`, async () => {
    const target = await PostgresCluster.start({ major });
    try {
      const { plan, changes, held, administrator, writer, source } = await follow(target, () =>
        old.cluster.sql("old", inbox("copied-too-late", 900_001)),
      );
      // The catalogue decides: each table has a key, an index that serves, or its whole rows.
      const kinds = Map.groupBy(plan.tables, ({ wanted }) => wanted.kind);
      assert.ok(
        kinds.get("default")!.length > 40 && kinds.get("index")!.length > 60,
        [...kinds.keys()].join(),
      );
      assert.ok(kinds.get("full")!.some(({ name }) => name === "state_groups_state"));
      assert.deepEqual(
        plan.left.map(({ name }) => name),
        ["e2e_one_time_keys_json", "worker_read_write_locks", "worker_read_write_locks_mode"],
      );
      assert.equal(
        held["public.events"]!.rows,
        Number(await old.cluster.sql("old", "select count(*) from events")),
      );
      assert.equal(
        held["public.device_inbox"]!.rows + 1,
        Number(await old.cluster.sql("old", "select count(*) from device_inbox")),
      );

      // By primary key, by index and by whole rows, with NULLs and rows that are there twice; and the one thing that TRUNCATE does.
      await old.cluster.sql(
        "old",
        `${inbox(`later-${major}`, 900_002)} ${inbox(`later-${major}`, 900_002)} delete from device_inbox where user_id = '@copied-too-late:x';
         update users set consent_version = 'seen', is_guest = 1 - is_guest; update presence_stream set status_msg = 'away';
         update profiles set displayname = displayname || '!'; delete from receipts_linearized; truncate user_directory;
         select nextval('events_stream_seq'); select nextval('sliding_sync_connections_connection_key_seq')`,
      );
      await until(source);
      const differ: string[] = [];
      for (const table of plan.tables) {
        const there = await contentsOf(source, table);
        const here = await contentsOf(writer, table);
        if (there.rows !== here.rows || there.digest !== here.digest) differ.push(table.name);
      }
      assert.deepEqual(differ, []);
      assert.equal(
        await target.sql("new", `select count(*) from device_inbox where user_id = '@later-${major}:x'`),
        "2",
      );
      assert.equal(await target.sql("new", "select count(*) from e2e_one_time_keys_json"), "0");

      const copied = await copySequences(source, writer);
      assert.ok(copied > 20);
      assert.deepEqual(await readSequences(writer), await readSequences(source));
      assert.deepEqual(await schemaChanges(source, administrator), []);

      // A dump of the new database must not have the old one's password.
      const kept = await target.sql("new", "select subconninfo from pg_subscription");
      assert.ok(!kept.includes("follow me"), kept);
      await detachSubscription(administrator, SLOT);
      await detachSubscription(administrator, SLOT);
      assert.equal(await target.sql("new", "select count(*) from pg_subscription"), "0");
      assert.equal(
        await target.sql(
          "new",
          "select count(*) from pg_class where relkind = 'r' and relreplident <> 'd' and relnamespace = 'public'::regnamespace",
        ),
        "0",
      );

      await undo(changes);
      assert.equal(await identities(), untouched);
      assert.equal(
        await old.cluster.sql(
          "old",
          "select (select count(*) from pg_publication) + (select count(*) from pg_replication_slots)",
        ),
        "0",
      );
    } finally {
      await target.stop();
    }
  });

test("a change that cannot be applied is given up after ten minutes, and goes on once its cause is gone; a lost slot is told", async () => {
  const target = await PostgresCluster.start({ major: TARGETS[0]! });
  const { changes, administrator, source } = await follow(target, () => Promise.resolve());
  const { socketFolder: host, port } = target.address;
  const place = { host, port: `${port}` };
  const passwordFile = join(temporaryFolder("password"), "password");
  writeFileSync(passwordFile, "none is needed\n");
  const here: LogicalCopy = {
    kind: "logical",
    target: { ...place, user: "new", dbname: "new" },
    passwordFile,
    administrator: { parameters: { ...place, user: "postgres", dbname: "postgres" } },
    ...{ subscription: SLOT, mark: null, copied: null },
  };
  const notes: string[] = [];
  // A minute in 30 milliseconds.
  const quick = { ...machine, elapsed: () => machine.elapsed() * 2000 };
  const system = { postgres, programs, files: realFiles, machine: quick, signal } as unknown as System;
  const watch = await watchLogical(source, { here, slot: SLOT }, system, {
    note: (said) => notes.push(said),
  });
  closing.push(watch);
  try {
    const clash = "insert into users (name, password_hash) values ('@clash:x', 'secret-hash')";
    await target.sql("new", clash);
    await old.cluster.sql("old", clash);
    await assert.rejects(
      async () => {
        for (let look = 0; look < 600; look += 1) {
          await watch.look();
          await machine.wait(100);
        }
      },
      (error: MigrationError) => {
        assert.equal(error.code, "restore-failed");
        assert.match(error.message, /cannot apply the old one's changes, tried for 10 min/);
        assert.doesNotMatch(error.message, /clash|secret-hash/);
        return true;
      },
    );
    const enabled = () => target.sql("new", "select subenabled from pg_subscription");
    assert.equal(await enabled(), "f");
    await target.sql("new", "delete from users where name = '@clash:x'");
    await resumeSubscription(administrator, SLOT);
    await until(source);
    assert.equal(await target.sql("new", "select count(*) from users where name = '@clash:x'"), "1");
    assert.deepEqual([(await watch.look()).slot, notes], ["reserved", []]);

    await pauseSubscription(administrator, SLOT);
    await old.cluster.sql("old", "alter system set max_slot_wal_keep_size = '1MB'");
    await old.cluster.sql("old", "select pg_reload_conf()");
    for (let look = 0; (await watch.look()).slot !== "lost"; look += 1) {
      assert.ok(look < 100, "the slot is lost");
      await old.cluster.sql(
        "old",
        "create table filler as select 1; drop table filler; select pg_switch_wal()",
      );
      await old.cluster.sql("old", "checkpoint");
    }
    await assert.rejects(
      until(source, 100),
      /the copy lacks \d+ bytes of the old database's log, .* not connected/,
    );
  } finally {
    await old.cluster.sql("old", "alter system reset max_slot_wal_keep_size");
    await detachSubscription(administrator, SLOT);
    await undo(changes);
    await target.stop();
  }
  assert.equal(await identities(), untouched);
});

test("a row that is lost or changed on its way is found before anything follows", async () => {
  const target = await PostgresCluster.start({ major: TARGETS[0]! });
  try {
    await target.sql("postgres", "create role new login");
    const reader = await connect(source);
    await reader.beginSnapshot();
    const { snapshot } = await reader.one<{ snapshot: string }>("SELECT pg_export_snapshot() AS snapshot");
    const real = join(postgresPrograms()!, "psql");
    for (const [name, fault, said] of [
      ["lost", "sed 1d", /public\.users: \d+ rows, \d+ at the source$/],
      ["changed", "sed 1s/:/=/", /public\.users: \d+ rows on both sides, with other contents$/],
    ] as const) {
      await target.createDatabase(name, { owner: "new" });
      const faulty = `case "$*" in *'"users"'*"TO STDOUT"*) ${real} "$@" | ${fault} ;; *) exec ${real} "$@" ;; esac`;
      const order = {
        ...{ source, snapshot, jobs: 2, folder: temporaryFolder("definitions"), data: target.dataFolder },
        target: {
          parameters: {
            ...{ host: target.address.socketFolder, port: `${target.address.port}` },
            ...{ user: "new", dbname: name },
          },
        },
        tables: ["profiles", "users"].map((table) => ({ schema: "public", name: table })),
        programs: {
          pgDump: "pg_dump",
          pgRestore: "pg_restore",
          psql: join(scriptsIn({ psql: faulty }), "psql"),
        },
        snapshotRead: () => Promise.resolve(),
      };
      await assert.rejects(
        copyDatabase(order, {
          ...{ postgres, programs, files: realFiles, machine, progress: noProgress, signal },
        }),
        { code: "restore-failed", message: said },
      );
    }
  } finally {
    await target.stop();
  }
});
