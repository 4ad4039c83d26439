import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  promoteStandby,
  standbyDatabase,
  waitForReplay,
} from "../../src/homeserver/database/follow/standby.ts";
import { readFollowState, standbyOf } from "../../src/move/follow/state.ts";
import type { System } from "../../src/system/system.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realPostgres } from "../../src/system/postgres/postgres.ts";
import { realPrograms } from "../../src/system/programs/programs.ts";
import { machineWith } from "../support/fake-machine.ts";
import { type Copy, type SmallFollowed, startSmallFollowed } from "../support/follow/small-followed.ts";
import { StandInSystemctl } from "../support/stand-in-systemctl.ts";
import { until } from "../support/processes.ts";
import { type Ran, resultOf, synlift, synliftWell } from "../support/synlift.ts";

let followed: SmallFollowed;
let copy: Copy;

const machine = machineWith();
const { signal } = new AbortController();
const postgres = realPostgres(realPrograms(process.env, signal));
const system = { files: realFiles, machine, postgres, signal } as unknown as System;

before(async () => {
  followed = await startSmallFollowed();
  copy = await followed.copy("whole");
});
after(() => followed.stop());

const here = (command: string, { configDir }: Copy = copy) => [
  ...command.split(" "),
  "--config-dir",
  configDir,
];
const idsOf = (ran: Ran) => resultOf(ran).findings.map(({ id }) => id);
const onOld = (sql: string) => followed.old.sql("synapse", sql);
const asked = () =>
  existsSync(followed.askedFile) ? readFileSync(followed.askedFile, "utf8").trim().split("\n") : [];

/** In the copy, as its superuser. */
async function inCopy<Row>(sql: string): Promise<Row> {
  const server = standbyOf((await readFollowState(copy.configDir, system))!);
  const session = await postgres.connect(standbyDatabase(server, "synapse", machine));
  return session.one<Row>(sql).finally(() => session.close());
}

/** The process ids of the ssh that have this copy's way open. */
function tunnels(): number[] {
  return machine
    .processes()
    .filter(({ args }) => args[0] === "ssh" && args.includes(followed.ssh.configFile) && args.includes("-N"))
    .map(({ pid }) => pid);
}

test("A dry run says what would be done on both hosts, and changes nothing.", async () => {
  const ran = await synliftWell([...copy.args, "--dry-run", "--json"]);
  assert.deepEqual(idsOf(ran), ["follow-other-databases"]);
  assert.deepEqual(asked(), ["facts"]);
  assert.equal(existsSync(copy.data), false);
  assert.deepEqual(readdirSync(copy.configDir), []);
  const text = (await synliftWell([...copy.args, "--dry-run"])).stdout;
  assert.match(text, /on the old host: create the role synlift_follow\n/);
  assert.match(text, /28\.6 MiB .* all databases of that server \(postgres, synapse, wiki\)/);
});

test("Without a terminal it begins only with --yes.", async () => {
  const ran = await synlift(copy.args);
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /needs confirmation/);
  assert.equal(existsSync(copy.data), false);
});

test("Killed while it copies, it copies again; then it follows, makes its way again when that is cut, and ends when asked to.", async () => {
  // 32 KiB a second: it cannot have finished.
  const killed = await synlift([...copy.args, "--yes", "--max-rate", "32k"], {
    killWhen: (said) => said.includes("copy of the old server's data"),
  });
  assert.equal(killed.signal, "SIGKILL");
  assert.equal(existsSync(join(copy.data, "standby.signal")), false);

  let said = "";
  let stop = () => {};
  const running = synlift([...here("follow"), "--checkpoint", "fast", "--json"], {
    started: (child) => (stop = () => void child.kill("SIGTERM")),
    killWhen: (stderr) => {
      said = stderr;
      return false;
    },
  });
  await until("the copy follows", () => said.includes('"connected":true'), 120);
  await onOld("create table said_later as select generate_series(1, 1000) n");
  const [first] = tunnels();
  process.kill(first!);
  await until("the way is made again", () => tunnels().some((pid) => pid !== first), 120);
  await until("the loss is told", () => /connection-failed|tried again in/.test(said), 120);
  stop();
  const ran = await running;
  assert.equal(ran.code, 0, ran.stderr);
  const { details } = resultOf(ran);
  assert.equal(details["ended"], "signal");
  assert.deepEqual(tunnels(), [], "no ssh is left");

  const findings = idsOf(ran);
  assert.ok(findings.includes("follow-password-md5"), findings.join());
  assert.ok(findings.includes("follow-settings-left"), findings.join());
  const settings = readFileSync(join(copy.data, "postgresql.auto.conf"), "utf8");
  assert.match(settings, /^work_mem = '5MB'$/m);
  assert.doesNotMatch(settings, /archive_command|of the copy/);
  assert.equal(statSync(join(copy.configDir, ".synlift/follow.passfile")).mode & 0o777, 0o600);
});

test("Synapse's role logs in to the copy with the password that it has, though that is kept in the older form.", () => {
  const query = ["-h", "127.0.0.1", "-p", `${copy.port}`, "-U", "mover", "-d", "synapse", "-Atc"];
  const rows = execFileSync("psql", [...query, "select count(*) from events"], {
    env: { ...process.env, PGPASSWORD: "an old password" },
    encoding: "utf8",
  });
  assert.equal(rows.trim(), "500");
});

test("Without anybody who follows, its status says so, and what the old server keeps.", async () => {
  const ran = await synliftWell([...here("follow status"), "--json"]);
  assert.deepEqual(idsOf(ran), ["follow-not-running"]);
  const details = resultOf(ran).details as { by: string; copy: { slot: string } };
  assert.equal(details.by, "nobody");
  assert.equal(details.copy.slot, "reserved");
});

test("The same command goes on, to the end of what the old server has written, though that has more connections by now.", async () => {
  const { programs } = standbyOf((await readFollowState(copy.configDir, system))!);
  execFileSync(join(programs, "pg_ctl"), ["stop", "-D", copy.data, "-m", "fast", "-s"], {
    uid: statSync(copy.data).uid,
    cwd: "/",
  });
  const settings = join(copy.data, "postgresql.conf");
  writeFileSync(
    settings,
    readFileSync(settings, "utf8").replace("max_connections = 117", "max_connections = 100"),
  );
  await onOld("insert into said_later select generate_series(1001, 2000)");
  const ran = await synliftWell([...here("follow"), "--until-caught-up", "--json"]);
  assert.equal(resultOf(ran).details["ended"], "caught-up");
  assert.match(ran.stderr, /so is the copy.*: max_connections = 117/);
  assert.deepEqual(await inCopy("select count(*)::int as rows from said_later"), { rows: 2000 });
});

test("A dry run with a copy says that it would go on, or what another copy would replace, and does neither.", async () => {
  const on = await synliftWell([...here("follow"), "--dry-run"]);
  assert.match(on.stdout, /go on with the copy of the database of example\.org/);
  const again = await synliftWell([...here("follow"), "--begin-again", "--dry-run"]);
  assert.match(again.stdout, /delete the copy on this host: .*whole data.*\nmake another copy/s);
  assert.equal(existsSync(join(copy.data, "standby.signal")), true);
});

test("Another old host is refused as long as this copy is there.", async () => {
  const ran = await synlift(["follow", "ssh://elsewhere.example.org", "--config-dir", copy.configDir]);
  assert.equal(ran.code, 22);
  assert.match(ran.stderr, /was begun/);
});

test("At the cut-over the copy has everything up to a position, is promoted, and can no longer be deleted by synlift.", async () => {
  const server = standbyOf((await readFollowState(copy.configDir, system))!);
  // As a comparison leaves it that was killed.
  await inCopy("select pg_wal_replay_pause()::text as paused");
  const following = synlift(here("follow"));
  await onOld("insert into said_later select generate_series(2001, 3000)");
  const position = await onOld("select pg_current_wal_lsn()");
  await waitForReplay(server, position, system);
  assert.deepEqual(await inCopy("select count(*)::int as rows from said_later"), { rows: 3000 });
  await promoteStandby(server, system);
  await promoteStandby(server, system);
  const ran = await following;
  assert.equal(ran.code, 45, ran.stderr);

  const stopped = await synliftWell([...here("follow stop"), "--yes", "--json"]);
  const details = resultOf(stopped).details as { kind: string; leftToDo: string[] };
  assert.equal(details.kind, "kept");
  assert.deepEqual(details.leftToDo, ["look at pg_hba.conf"]);
  assert.equal(existsSync(join(copy.data, "PG_VERSION")), true);
  const again = await synliftWell([...here("follow stop"), "--yes"]);
  assert.match(again.stdout, /nothing follows here/);
  // It is the test's own now.
  execFileSync(join(server.programs, "pg_ctl"), ["stop", "-D", copy.data, "-m", "immediate", "-s"], {
    uid: statSync(copy.data).uid,
    cwd: "/",
  });
});

test("As a unit, it is prepared here and all else is left to systemd; the end removes the unit, but no unit of somebody else.", async () => {
  const unit = "synlift-follow.service";
  const stood = new StandInSystemctl([{ name: unit, start: "true", pidFile: "/nonexistent" }]);
  const env = { PATH: stood.path };
  const served = await followed.copy("served 100% $HOME");
  const units = join(served.configDir, "units");
  mkdirSync(units);
  const path = join(units, unit);
  const args = [...served.args, "--service", "--systemd-dir", units, "--max-rate", "20M"];
  writeFileSync(path, "[Service]\nExecStart=/bin/true\n");
  const before = asked().length;
  const refused = await synlift([...args, "--yes"], { env });
  assert.equal(refused.code, 35, refused.stderr);
  assert.equal(asked().length, before, "nothing was asked on the old host");
  rmSync(path);

  await synliftWell([...args, "--yes"], { env });
  const text = readFileSync(path, "utf8");
  assert.match(
    text,
    /^ExecStart="\/.* "follow" "--config-dir" "\/.*served 100%% \$\$HOME config" "--checkpoint" "fast" "--max-rate" "20M"$/m,
  );
  assert.match(text, /^KillMode=process$/m);
  assert.deepEqual(stood.calls, [
    ...["daemon-reload", `enable ${unit}`, `stop ${unit}`, `start ${unit}`].map((one) =>
      one.replace(/-reload$/, "-reload "),
    ),
  ]);
  assert.equal(existsSync(served.data), false, "the unit copies");
  await synliftWell([...here("follow stop", served), "--systemd-dir", units, "--yes"], { env });
  assert.equal(existsSync(path), false);
});
