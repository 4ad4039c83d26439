import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findAdministrator } from "../../src/homeserver/database/follow/administrator.ts";
import type { TargetFacts } from "../../src/homeserver/database/follow/facts.ts";
import { prepareFollow } from "../../src/homeserver/database/follow/prepare.ts";
import { FollowRecord, type Road, slotNameOf } from "../../src/homeserver/database/follow/record.ts";
import { undoFollow } from "../../src/homeserver/database/follow/undo.ts";
import { acquireLock } from "../../src/journal/lock.ts";
import { type Files, realFiles } from "../../src/system/files/files.ts";
import { realMachine } from "../../src/system/machine.ts";
import { realPostgres } from "../../src/system/postgres/postgres.ts";
import { noProgress } from "../../src/system/progress.ts";
import type { System } from "../../src/system/system.ts";
import { machineWith } from "../support/fake-machine.ts";
import { askFollowSource, serverState } from "../support/follow-source.ts";
import { Pgbouncer } from "../support/lab/pgbouncer.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { programsWith } from "../support/real-world.ts";
import { makeSmallHomeserver } from "../support/small-homeserver.ts";
import { resultOf, synlift } from "../support/synlift.ts";

const ACCESS = [
  "local all all trust",
  "host all,replication synlift_follow 127.0.0.1/32 scram-sha-256",
  "host all all 127.0.0.1/32 trust",
];
const TARGET: TargetFacts = {
  architecture: process.arch === "x64" ? "x86_64" : "aarch64",
  serverMajors: [12, 13, 14, 15, 16, 17, 18],
  server: { version: 180000, isSuperuser: true },
};
const machine = machineWith();

let cluster: PostgresCluster;
let config: string[];
/** Everything on the server before anything was changed. */
let untouched: string;

before(async () => {
  // What a server says is in the language of its host; and its administrator has set a limit of his own.
  cluster = await PostgresCluster.start({
    access: ACCESS,
    language: "de_DE",
    settings: { wal_level: "logical" },
  });
  config = await homeOf(cluster, "old");
  await cluster.sql("old", "alter system set max_slot_wal_keep_size = '300TB'");
  await cluster.sql("old", "alter system set work_mem = '5MB'");
  await cluster.sql("old", "select pg_reload_conf()");
  untouched = await serverState(cluster, "old");
});
after(() => cluster.stop());

/** The arguments that name a small homeserver in that database. */
async function homeOf(server: PostgresCluster, name: string, args: object = {}): Promise<string[]> {
  const { parameters } = await makeMiniSynapse(server, name);
  const home = await makeSmallHomeserver({
    database: { name: "psycopg2", args: { ...parameters, cp_min: 1, ...args } },
  } as never);
  return ["--config", home.configFile, "--working-directory", home.dataFolder];
}

const prepareRequest = (road: Road = "standby", id = randomUUID()) =>
  ({ type: "prepare", id, road, target: TARGET, restart: false }) as const;

function worldWith(given: Partial<System> = {}): System {
  const programs = programsWith();
  const signal = new AbortController().signal;
  return {
    files: realFiles,
    machine,
    programs,
    postgres: realPostgres(programs),
    signal,
    ...given,
  } as System;
}

/** A host that dies with the nth write of its record: nothing reaches files or PostgreSQL from then on. */
function dyingAt(write: number): { system: System; isDead: () => boolean } {
  const world = worldWith();
  let left = write;
  const killed = () => Promise.reject(new Error("killed"));
  const files: Files = {
    ...world.files,
    writeAtomically: (...args) => (left-- > 0 ? world.files.writeAtomically(...args) : killed()),
  };
  const postgres = {
    connect: (...args: Parameters<System["postgres"]["connect"]>) =>
      left < 0 ? killed() : world.postgres.connect(...args),
  };
  return { system: { ...world, files, postgres }, isDead: () => left < 0 };
}

async function orderFor(
  server: PostgresCluster,
  name: string,
  road: Road,
  folder: string,
  id: string = randomUUID(),
) {
  const { host, port } = server.address;
  const main = { parameters: { host, port: String(port), user: "mover", dbname: name } };
  const administrator = await findAdministrator(main, undefined, worldWith());
  const databases = { main, state: undefined, mas: undefined };
  return {
    id,
    road,
    subject: "example.org",
    folder,
    databases,
    administrator,
    target: TARGET,
    restart: false,
  };
}

const undoIn = async (folder: string, system = worldWith()) => {
  const record = await FollowRecord.read(folder, system.files, machine);
  return record && undoFollow(record, system, noProgress);
};

test("a standby is prepared with the limit first, can begin, can be prepared again, and leaves nothing behind", async () => {
  const out = join(temporaryFolder("follow"), "moving");
  const args = ["--out", out, ...config];
  const { answer: facts } = await askFollowSource(args, { type: "facts", target: TARGET });
  assert.deepEqual(facts.roads.standby, []);
  const { standby = [], logical = [] } = facts.changesFor ?? {};
  assert.doesNotMatch(standby.join("\n"), /publication|replica identity/);
  assert.match(logical.join("\n"), /publication/);
  assert.deepEqual(facts.changes, standby, "those of the kind that fits best");
  assert.equal(await serverState(cluster, "old"), untouched, "looking changes nothing");
  assert.equal(existsSync(out), false);

  const request = prepareRequest();
  const { answer, notes } = await askFollowSource(args, request);
  assert.match(notes[0]!, /max_slot_wal_keep_size/);
  const limit = Number(
    await cluster.sql("old", "select setting from pg_settings where name = 'max_slot_wal_keep_size'"),
  );
  assert.equal(limit * 1024 ** 2, answer.keeps);
  assert.ok(limit > 0 && limit < 300 * 1024 ** 2);
  assert.equal(answer.slot, slotNameOf(request.id));
  assert.equal(answer.synapseRole, "mover");
  assert.equal(readFileSync(join(out, "follow.json"), "utf8").includes(answer.password), false);

  const { answer: again } = await askFollowSource(args, request);
  assert.notEqual(again.password, answer.password);
  assert.equal(again.keeps, answer.keeps);
  const { host, port, role } = again;
  const parameters = { host, port: String(port), user: role, dbname: "old" };
  await assert.rejects(worldWith().postgres.connect({ parameters, password: answer.password }));
  const session = await worldWith().postgres.connect(
    { parameters, password: again.password },
    { writes: true },
  );
  await session.run(`SELECT pg_create_physical_replication_slot('${again.slot}', true);`);
  assert.equal((await session.one<{ count: number }>("SELECT count(*) FROM users")).count, 20);

  const { answer: undone } = await askFollowSource(args, { type: "undo" });
  await session.close();
  assert.deepEqual(undone.leftToDo, []);
  assert.equal(await serverState(cluster, "old"), untouched);
  assert.deepEqual((await askFollowSource(args, { type: "undo" })).answer.leftToDo, []);
});

for (const road of ["standby", "logical"] as const)
  test(`killed between any two writes of its record, the preparation of ${road} is undone completely`, async () => {
    // A logical one writes twice for most of its tables.
    for (let write = 0; ; write += road === "logical" ? 4 : 1) {
      const folder = temporaryFolder("follow");
      const order = await orderFor(cluster, "old", road, folder);
      const { system, isDead } = dyingAt(write);
      await prepareFollow(order, system, noProgress).catch((error: unknown) => {
        assert.match(String(error), /killed/);
      });
      const undone = await undoIn(folder);
      assert.deepEqual(undone?.leftToDo ?? [], []);
      assert.equal(await serverState(cluster, "old"), untouched, `killed at write ${write}`);
      if (!isDead()) break;
    }
  });

test("an undo that is killed between any two writes goes on, and leaves nothing behind", async () => {
  for (let write = 0; ; write += 2) {
    const folder = temporaryFolder("follow");
    const order = await orderFor(cluster, "old", "logical", folder);
    const { slot } = await prepareFollow(order, worldWith(), noProgress);
    await cluster.sql("old", `select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    const { system, isDead } = dyingAt(write);
    await undoIn(folder, system).catch((error: unknown) => {
      assert.match(String(error), /killed/);
    });
    assert.deepEqual((await undoIn(folder))?.leftToDo ?? [], []);
    assert.equal(await serverState(cluster, "old"), untouched, `killed at write ${write}`);
    // The slot, the publication, the tables, the role and the limit.
    if (!isDead()) {
      assert.ok(write > 8, `${write}`);
      return;
    }
  }
});

test("what somebody else has, or has changed since, is never touched", async () => {
  const folder = temporaryFolder("follow");
  await cluster.sql("old", "create role synlift_follow; create database other owner synlift_follow");
  const order = await orderFor(cluster, "old", "standby", folder);
  const theirs = await serverState(cluster, "old");
  await assert.rejects(prepareFollow(order, worldWith(), noProgress), {
    code: "follow-impossible",
    message: /role synlift_follow that synlift did not make/,
  });
  assert.equal(await serverState(cluster, "old"), theirs);
  await cluster.sql("old", "drop database other");
  await cluster.sql("old", "drop role synlift_follow");

  const slot = slotNameOf(order.id);
  await cluster.sql("old", `select pg_create_physical_replication_slot('${slot}')`);
  await assert.rejects(prepareFollow(order, worldWith(), noProgress), { message: /slot .* did not make/ });
  await cluster.sql("old", `select pg_drop_replication_slot('${slot}')`);
  assert.equal(await serverState(cluster, "old"), untouched);

  await prepareFollow(order, worldWith(), noProgress);
  await cluster.sql("old", "alter system set max_slot_wal_keep_size = '7GB'");
  // As if somebody had dropped the role by hand, and made one of that name.
  await cluster.sql("old", "drop role synlift_follow; create role synlift_follow nologin");
  const undone = await undoIn(folder);
  assert.match(undone!.leftToDo.join(), /max_slot_wal_keep_size stays as it is: somebody has changed it/);
  assert.equal(
    await cluster.sql("old", "select count(*) from pg_roles where rolname = 'synlift_follow'"),
    "1",
  );
  await cluster.sql("old", "drop role synlift_follow");
  await cluster.sql("old", "alter system set max_slot_wal_keep_size = '300TB'");
  await cluster.sql("old", "select pg_reload_conf()");
});

test("a slot that is in use is ended and dropped, and its limit goes last", async () => {
  const folder = temporaryFolder("follow");
  const order = await orderFor(cluster, "old", "standby", folder);
  const { slot, password, place } = await prepareFollow(order, worldWith(), noProgress);
  const address = {
    host: place.host,
    port: String(place.port),
    user: "synlift_follow",
    dbname: "x",
    replication: "true",
  };
  const programs = programsWith();
  await cluster.sql("old", `select pg_create_physical_replication_slot('${slot}', true)`);
  const receiver = await programs.start({
    name: join(cluster.programs, "pg_receivewal"),
    args: [
      "-D",
      temporaryFolder("received"),
      "-S",
      slot!,
      "-d",
      `host=${address.host} port=${address.port} user=synlift_follow`,
    ],
    env: { PGPASSWORD: password },
  });
  for (;;) {
    if ((await cluster.sql("old", "select active from pg_replication_slots")) === "t") break;
    await machine.wait(50);
  }
  assert.deepEqual((await undoIn(folder))!.leftToDo, []);
  assert.equal(await serverState(cluster, "old"), untouched);
  receiver.kill();
  await receiver.close();
});

test("wal_level stays logical while somebody else's logical slot needs it, as PostgreSQL would not start otherwise", async () => {
  const other = await PostgresCluster.start({ access: ACCESS });
  try {
    await homeOf(other, "old");
    const folder = temporaryFolder("follow");
    const order = await orderFor(other, "old", "logical", folder);
    await assert.rejects(prepareFollow(order, worldWith(), noProgress), {
      code: "follow-impossible",
      message: /one restart of PostgreSQL/,
      hint: /nothing was changed.*--restart-postgresql/,
    });
    const clean = await serverState(other, "old");
    // No systemd unit runs this one, so a person has to restart it; what is set so far stays for the next run.
    await assert.rejects(prepareFollow({ ...order, restart: true }, worldWith(), noProgress), {
      message: /has to be restarted now/,
    });
    assert.match(
      await other.sql("old", "select pg_read_file('postgresql.auto.conf')"),
      /wal_level = 'logical'/,
    );
    assert.deepEqual((await undoIn(folder))!.leftToDo, []);
    assert.equal(await serverState(other, "old"), clean);
  } finally {
    await other.stop();
  }
});

test("begun again without a restart since the undo, the old PostgreSQL still starts with the slot of the new copy", async () => {
  const other = await PostgresCluster.start({ access: ACCESS });
  const restart = async () => {
    await other.crash();
    await other.startAgain();
  };
  try {
    const home = await homeOf(other, "old");
    await other.sql("old", "alter system set wal_level = 'logical'");
    await restart();
    // As the undo of a copy leaves it.
    await other.sql("old", "alter system reset wal_level");
    const asked = ["--out", join(temporaryFolder("follow"), "moving"), ...home];
    const { answer } = await askFollowSource(asked, { type: "facts", target: TARGET });
    const { unit: _, ...nextStart } = answer.source.nextStart!;
    assert.deepEqual(nextStart, { walLevel: "replica", pending: ["wal_level"], unreadable: [] });
    const clean = await serverState(other, "old");
    const folder = temporaryFolder("follow");
    const order = await orderFor(other, "old", "logical", folder);
    const { slot } = await prepareFollow(order, worldWith(), noProgress);
    await other.sql("old", `select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    await restart();
    assert.equal(await other.sql("old", "show wal_level"), "logical");
    const undone = await undoIn(folder);
    assert.deepEqual(undone!.leftToDo, []);
    assert.deepEqual(
      undone!.findings.map(({ id }) => id),
      ["wal-level-kept"],
    );
    assert.equal(await serverState(other, "old"), clean);
  } finally {
    await other.stop();
  }
});

test("what does not fit is said with every reason, and nothing is changed", async () => {
  const server = await PostgresCluster.start({ settings: { max_wal_senders: "1" } });
  try {
    const args = await homeOf(server, "old");
    const clean = await serverState(server, "old");
    const out = join(temporaryFolder("follow"), "moving");
    const { answer } = await askFollowSource(["--out", out, ...args], { type: "facts", target: TARGET });
    const all = answer.roads.standby.join("\n");
    assert.match(all, /max_wal_senders leaves 1 of 2/);
    assert.match(
      all,
      /pg_hba\.conf does not let synlift_follow in .*"host .*replication synlift_follow 127\.0\.0\.1\/32 scram-sha-256"/,
    );
    await assert.rejects(askFollowSource(["--out", out, ...args], prepareRequest()), {
      code: "follow-impossible",
      message: /on the old host: physical replication \(standby\) is not possible/,
    });
    assert.equal(await serverState(server, "old"), clean);

    // A role without superuser.
    await server.sql("postgres", "create role plain login");
    const { host, port } = server.address;
    const plain = ["--admin-database", `host=${host} port=${port} user=plain dbname=old`];
    const { answer: as } = await askFollowSource(["--out", out, ...args, ...plain], { type: "facts" });
    assert.match(as.roads.standby.join(), /PostgreSQL's user plain is no superuser/);
    assert.match(as.roads.logical.join(), /PostgreSQL's user plain is no superuser/);

    const pooler = await Pgbouncer.start(server);
    try {
      const behind = await makeSmallHomeserver({
        database: {
          name: "psycopg2",
          args: { host: pooler.host, port: pooler.port, user: "mover", dbname: "old" },
        },
      } as never);
      const through = ["--config", behind.configFile, "--working-directory", behind.dataFolder];
      await assert.rejects(askFollowSource(["--out", out, ...through], { type: "facts" }), {
        code: "database-unsupported",
        message: /connection pooler/,
      });
    } finally {
      await pooler.stop();
    }
  } finally {
    await server.stop();
  }
});

test("status says what is changed, rollback and cleanup undo it, and the server itself is not touched", async () => {
  const folder = temporaryFolder("follow");
  const args = ["--out", folder, ...config];
  const { answer } = await askFollowSource(args, prepareRequest());
  await cluster.sql("old", `select pg_create_physical_replication_slot('${answer.slot}', true)`);

  const status = resultOf(await synlift(["status", "--out", folder, "--json"]));
  assert.ok(status.findings.some(({ id }) => id === "following"));
  const recorded = status.findings.find(({ id }) => id === "follow-recorded");
  assert.match(
    recorded!.evidence!.join("\n"),
    /the role synlift_follow is dropped\n.*max_slot_wal_keep_size is 300TB again/s,
  );
  assert.match(
    recorded!.evidence!.join("\n"),
    /PostgreSQL keeps .* of its log for the copy, and .* more at most; the copy is not connected/,
  );

  const listed = await synlift(["cleanup", "--out", folder, "--json"]);
  assert.ok(resultOf(listed).findings.some(({ id }) => id === "follow-recorded"));
  assert.ok(existsSync(join(folder, "follow.json")));

  const prepared = await serverState(cluster, "old");
  const dry = await synlift(["rollback", "--out", folder, "--dry-run"]);
  assert.match(dry.stdout, new RegExp(`would be done: the replication slot ${answer.slot} is dropped`));
  assert.equal(await serverState(cluster, "old"), prepared);
  // What stands in the way is said, the rest is undone, and the same command ends it.
  await cluster.sql(
    "old",
    "create table theirs (); alter table theirs owner to synlift_follow; grant connect on database old to synlift_follow",
  );
  const asked = await synlift(["rollback", "--out", folder, "--only-follow"]);
  assert.equal(asked.code, 2, asked.stderr);
  assert.match(asked.stderr, /needs confirmation.*on the new host cannot follow any more after that/s);
  const stuck = await synlift(["rollback", "--out", folder, "--yes"]);
  assert.equal(stuck.code, 18, stuck.stderr);
  assert.match(stuck.stdout, /still to do: the role synlift_follow is dropped/);
  assert.equal(await cluster.sql("old", "select count(*) from pg_replication_slots"), "0");
  await cluster.sql("old", "drop table theirs");
  const back = await synlift(["rollback", "--out", folder, "--yes"]);
  assert.equal(back.code, 0, back.stderr);
  assert.match(
    back.stdout,
    /no copy follows the database of example\.org any more, and PostgreSQL is as it was before/,
  );
  assert.equal(await serverState(cluster, "old"), untouched);
  // Run again, there is nothing to ask about; in a folder that has nothing to do with it, there never was.
  for (const more of [[], ["--only-follow"]]) {
    const again = await synlift(["rollback", "--out", folder, ...more]);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stdout, /nothing is left to undo for a copy that follows/);
  }
  const elsewhere = await synlift(["rollback", "--out", temporaryFolder("elsewhere"), "--only-follow"]);
  assert.equal(elsewhere.code, 23, elsewhere.stderr);
});

test("plan says which kind of replication fits, why the other does not, and what would be changed", async () => {
  const ran = await synlift(["plan", ...config, "--json"]);
  const found = resultOf(ran).findings.filter(({ id }) => id.startsWith("follow-"));
  assert.deepEqual(found.map(({ id }) => id).sort(), ["follow-logical", "follow-standby"]);
});

test("an undo waits for a run that the new host has left behind, which completes what it has begun", async () => {
  const folder = join(temporaryFolder("follow"), "moving");
  const args = ["--out", folder, ...config];
  await askFollowSource(args, prepareRequest());
  const left = await acquireLock(join(folder, "lock"), realFiles, realMachine(process.pid, process.cwd()));
  const { answer, notes } = await askFollowSource(args, { type: "undo" }, async (sentence) => {
    if (sentence.startsWith("waiting for it to end: process ")) await left.release();
  });
  assert.match(notes[0] ?? "", /^waiting for it to end: process \d+ /);
  assert.deepEqual(answer.leftToDo, []);
  assert.equal(await serverState(cluster, "old"), untouched);
});
