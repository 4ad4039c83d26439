import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { raiseToOld } from "../../src/homeserver/database/follow/set-up-standby.ts";
import { standbyDatabase } from "../../src/homeserver/database/follow/standby.ts";
import { readFollowState, standbyOf } from "../../src/move/follow/state.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realPostgres } from "../../src/system/postgres/postgres.ts";
import { realPrograms } from "../../src/system/programs/programs.ts";
import type { System } from "../../src/system/system.ts";
import { machineWith } from "../support/fake-machine.ts";
import { addressIn } from "../support/mini-synapse.ts";
import { type Copy, SLOT, type SmallFollowed, startSmallFollowed } from "../support/follow/small-followed.ts";
import { PostgresCluster, unprivilegedAccount } from "../support/lab/postgres-cluster.ts";
import { startSshServer } from "../support/lab/ssh-server.ts";
import { smallDisk } from "../support/small-disk.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

let followed: SmallFollowed;
const machine = machineWith();
const { signal } = new AbortController();
const programs = realPrograms(process.env, signal);
const postgres = realPostgres(programs);
const system = { files: realFiles, machine, postgres, programs, signal } as unknown as System;

before(async () => {
  followed = await startSmallFollowed();
});
after(() => followed.stop());

const here = (command: string, { configDir }: Copy) => [...command.split(" "), "--config-dir", configDir];
const onOld = (sql: string) => followed.old.sql("synapse", sql);
const asked = () => readFileSync(followed.askedFile, "utf8").trim().split("\n");

test("A slot that the old server has given up is told, with an exit code of its own, and the copy is made again.", async () => {
  const copy = await followed.copy("lost");
  await synliftWell([...copy.args, "--yes", "--until-caught-up"]);
  await followed.old.sql("postgres", "alter system set max_slot_wal_keep_size = '1MB'");
  await followed.old.sql("postgres", "select pg_reload_conf()");
  for (let round = 0; round < 4; round++) {
    await onOld("create table if not exists filler (t text)");
    await onOld("insert into filler select repeat(md5(n::text), 100) from generate_series(1, 12000) n");
    await onOld("select pg_switch_wal(); checkpoint");
  }
  assert.equal(
    await onOld(`select wal_status from pg_replication_slots where slot_name = '${SLOT}'`),
    "lost",
  );
  const lost = await synlift([...here("follow", copy), "--json"]);
  assert.equal(lost.code, 65, lost.stderr);
  assert.match(lost.stderr, /slot synlift_test is lost/);
  assert.equal((await synlift(here("follow status", copy))).code, 65);
  assert.equal((await synlift(here("follow", copy))).code, 65);

  await followed.old.sql("postgres", "alter system reset max_slot_wal_keep_size");
  await followed.old.sql("postgres", "select pg_reload_conf()");
  const again = await synliftWell([
    // Where it was, and from where, is known.
    ...[...here("follow", copy), "--checkpoint", "fast"],
    ...["--begin-again", "--yes", "--until-caught-up", "--json"],
  ]);
  assert.equal(resultOf(again).details["stage"], "following");
  assert.ok(asked().includes("undo"));
  await synliftWell([...here("follow stop", copy), "--yes"]);
  await followed.old.sql("postgres", `select pg_drop_replication_slot('${SLOT}')`);
});

test("Ended, nothing of a copy is left on this host.", async () => {
  const other = await followed.copy("other");
  await synliftWell([...other.args, "--yes", "--until-caught-up"]);
  assert.equal((await synlift(here("follow stop", other))).code, 2, "not without a question");
  assert.equal(existsSync(join(other.data, "standby.signal")), true);
  await synliftWell([...here("follow stop", other), "--yes"]);
  assert.equal(existsSync(other.data), false);
  assert.equal(existsSync(`${other.data}.log`), false);
  assert.equal(existsSync(join(other.configDir, ".synlift/follow.json")), false);
  assert.equal(existsSync(join(other.configDir, ".synlift/follow.passfile")), false);
  await followed.old.sql("postgres", `select pg_drop_replication_slot('${SLOT}')`);
});

test("An SSH server that forbids forwarding is told as that, and nothing is made here.", async (t) => {
  const strict = await startSshServer({ noForwarding: true });
  t.after(() => strict.stop());
  const copy = await followed.copy("strict");
  const args = copy.args.map((arg) =>
    arg === followed.ssh.address ? strict.address : arg === followed.ssh.configFile ? strict.configFile : arg,
  );
  const ran = await synlift([...args, "--yes"]);
  assert.equal(ran.code, 37, ran.stderr);
  assert.match(ran.stderr, /PostgreSQL\s+does\s+not\s+answer\s+there/);
  assert.match(ran.stderr, /AllowTcpForwarding/);
  assert.equal(existsSync(copy.data), false);
  await synliftWell([...here("follow stop", copy), "--yes"]);
});

test("An old server that was given more while it is followed gives it to the copy, which would stop in the middle of its log.", async (t) => {
  const larger = await PostgresCluster.start({
    settings: { max_connections: "150", max_prepared_transactions: "3" },
  });
  t.after(() => larger.stop());
  const copy = await followed.copy("larger");
  await synliftWell([...copy.args, "--yes", "--until-caught-up"]);
  const server = standbyOf((await readFollowState(copy.configDir, system))!);
  const [old, standby] = [
    await postgres.connect(addressIn(larger, "postgres", "postgres")),
    await postgres.connect(standbyDatabase(server, "postgres", machine)),
  ];
  assert.deepEqual(await raiseToOld(old, standby, server, system), [
    "max_connections = 150",
    "max_prepared_transactions = 3",
  ]);
  await standby.close();
  const again = await postgres.connect(standbyDatabase(server, "postgres", machine));
  assert.deepEqual(await again.one("select current_setting('max_connections') as more"), { more: "150" });
  assert.deepEqual(await raiseToOld(old, again, server, system), []);
  await again.close();
  await old.close();
  await synliftWell([...here("follow stop", copy), "--yes"]);
  await followed.old.sql("postgres", `select pg_drop_replication_slot('${SLOT}')`);
});

test("A disk of the new host that becomes full is named; with room again, the same command makes the copy.", async (t) => {
  const disk = await smallDisk(t, "24m");
  const account = unprivilegedAccount();
  if (account) chownSync(disk, account.uid, account.gid);
  const copy = await followed.copy("full", disk);
  const ran = await synlift([...copy.args, "--yes"]);
  assert.equal(ran.code, 33, ran.stderr);
  assert.match(ran.stderr, /free,\s+but\s+a\s+copy\s+of\s+the\s+old\s+database\s+needs/);
  assert.equal(existsSync(join(copy.configDir, ".synlift/follow.json")), false, "nothing was begun");
});

test("A disk that becomes full while it copies ends the copy, and nothing on the old server depends on it.", async (t) => {
  const disk = await smallDisk(t, "1500m");
  const account = unprivilegedAccount();
  if (account) chownSync(disk, account.uid, account.gid);
  const copy = await followed.copy("filled", disk);
  const filler = join(disk, "filler");
  const began = synlift([...copy.args, "--yes", "--max-rate", "4M"], {
    killWhen: (said) => {
      if (said.includes("copy of the old server's data") && !existsSync(filler))
        execFileSync("fallocate", ["-l", `${freeOf(disk) - 24 * MIB}`, filler]);
      return false;
    },
  });
  const ran = await began;
  assert.equal(ran.code, 33, ran.stderr);
  assert.match(ran.stderr, /became\s+full\s+during\s+the\s+copy/);
  execFileSync("rm", [filler]);
  await onOld("create table after_the_disk as select 1 as n");
  await synliftWell([...here("follow", copy), "--checkpoint", "fast", "--until-caught-up"]);

  // A standby on a full disk ends or waits, and goes on by itself.
  execFileSync("fallocate", ["-l", `${freeOf(disk) - MIB}`, filler]);
  const following = synlift(here("follow", copy), {
    killWhen: (said) => said.includes("everything") && isAgain,
  });
  let isAgain = false;
  await onOld("insert into after_the_disk select generate_series(1, 300000)");
  await new Promise((resolve) => setTimeout(resolve, 8000));
  execFileSync("rm", [filler]);
  isAgain = true;
  await following;
  const caught = await synliftWell([...here("follow", copy), "--until-caught-up", "--json"]);
  assert.equal(resultOf(caught).details["ended"], "caught-up");
  await synliftWell([...here("follow stop", copy), "--yes"]);
});

const MIB = 1024 * 1024;

const freeOf = (folder: string): number =>
  Number(execFileSync("df", ["--output=avail", "-B1", folder], { encoding: "utf8" }).split("\n")[1]);
