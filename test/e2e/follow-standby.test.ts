import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import {
  promoteStandby,
  standbyDatabase,
  waitForReplay,
} from "../../src/homeserver/database/follow/standby.ts";
import { acquireFollowLock } from "../../src/move/follow/lock.ts";
import { readFollowState, standbyOf } from "../../src/move/follow/state.ts";
import type { System } from "../../src/system/system.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realPostgres } from "../../src/system/postgres/postgres.ts";
import { realPrograms } from "../../src/system/programs/programs.ts";
import { machineWith } from "../support/fake-machine.ts";
import { type Copy, type SmallFollowed, startSmallFollowed } from "../support/follow/small-followed.ts";
import { freePort } from "../support/lab/server-process.ts";
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
  assert.doesNotMatch(text, /publish the tables|what fits best/);
  assert.match(text, /28\.6 MiB .* all databases of that server \(postgres, synapse, wiki\)/);
});

/** Something that is no PostgreSQL and answers nothing; it ends with the test. */
async function occupy(port: number, t: TestContext): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  t.after(() => server.close());
}

test("A port that something else uses is refused before anything is begun, in a dry run too.", async (t) => {
  const taken = await followed.copy("taken");
  await occupy(taken.port, t);
  const before = asked().filter((type) => type !== "facts");
  for (const how of ["--dry-run", "--yes"]) {
    const ran = await synlift([...taken.args, how]);
    assert.equal(ran.code, 41, ran.stderr);
    assert.match(
      ran.stderr,
      new RegExp(`port\\s+${taken.port}\\s+of\\s+this\\s+host\\s+is\\s+in\\s+use\\s+by\\s+node`),
    );
  }
  assert.deepEqual(
    asked().filter((type) => type !== "facts"),
    before,
    "the old host was not asked to change anything",
  );
  assert.equal(existsSync(taken.data), false);
  assert.equal(existsSync(join(taken.configDir, ".synlift/follow.json")), false);
});

/** What the old host answers to one question is changed until the test has ended. */
function answerOtherwise(
  t: TestContext,
  type: string,
  change: (answer: Record<string, unknown>) => object,
): void {
  const file = followed.answersFile;
  const before = readFileSync(file, "utf8");
  const answers = JSON.parse(before) as Record<string, Record<string, unknown>>;
  writeFileSync(file, JSON.stringify({ ...answers, [type]: change(answers[type]!) }));
  t.after(() => {
    writeFileSync(file, before);
  });
}

test("A kind of replication that the old host refuses is refused before anything is begun, in a dry run too.", async (t) => {
  const roads = { standby: ["its wal_level is minimal", "it has a tablespace"], logical: ["not tried"] };
  answerOtherwise(t, "facts", (facts) => ({ ...facts, roads }));
  const refused = await followed.copy("refused");
  const before = asked().filter((type) => type !== "facts");
  for (const how of ["--dry-run", "--yes"]) {
    const ran = await synlift([...refused.args, "--road", "standby", how]);
    assert.equal(ran.code, 67, ran.stderr);
    assert.match(
      ran.stderr.replaceAll(/\s+/g, " "),
      /physical replication \(standby\) is not possible: its wal_level is minimal; it has a tablespace/,
    );
  }
  assert.deepEqual(
    asked().filter((type) => type !== "facts"),
    before,
  );
  assert.equal(existsSync(refused.data), false);
  assert.equal(existsSync(join(refused.configDir, ".synlift/follow.json")), false);
});

test("An old host with an older synlift, which does not tell the changes of each kind, is asked about those that it tells.", async (t) => {
  answerOtherwise(t, "facts", ({ changesFor: _, ...facts }) => facts);
  const older = await followed.copy("older");
  const ran = await synliftWell([...older.args, "--dry-run"]);
  assert.match(ran.stdout, /on the old host: what fits best\n/);
});

test("A configuration folder that is made for it can be entered by the new server's account; what synlift keeps in it cannot.", async (t) => {
  const roads = { standby: ["not now"], logical: [] };
  answerOtherwise(t, "facts", (facts) => ({ ...facts, roads }));
  const made = await followed.copy("made");
  const configDir = join(made.configDir, "below/config");
  const args = made.args.map((arg) => (arg === made.configDir ? configDir : arg));
  assert.equal((await synlift([...args, "--road", "standby", "--dry-run"])).code, 67);
  assert.equal(existsSync(configDir), false, "a dry run makes nothing");
  assert.equal((await synlift([...args, "--road", "standby", "--yes"])).code, 67);
  const modes = [".", "config", "config/.synlift"].map(
    (name) => statSync(join(made.configDir, "below", name)).mode & 0o777,
  );
  assert.deepEqual(modes, [0o755, 0o755, 0o700]);
});

test("Without a terminal it begins only with --yes.", async () => {
  const ran = await synlift(copy.args);
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /needs confirmation/);
  assert.equal(existsSync(copy.data), false);
});

test("Asked to stop while it copies, it ends with the exit code that its unit takes for success.", async () => {
  let stop = () => {};
  const ran = await synlift([...copy.args, "--yes", "--max-rate", "32k"], {
    started: (child) => (stop = () => void child.kill("SIGTERM")),
    killWhen: (said) => {
      if (!said.includes("copy of the old server's data")) return false;
      stop();
      // A second signal would end it at once.
      stop = () => {};
      return false;
    },
  });
  assert.equal(ran.code, 143, ran.stderr);
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

test("Its status tells a unit that is about to start from nobody, and a unit of another copy from its own.", async (t) => {
  const folder = join(copy.configDir, "of the unit");
  mkdirSync(folder);
  const [fragment, pidFile] = [join(folder, "unit"), join(folder, "pid")];
  const name = "synlift-follow.service";
  const stood = new StandInSystemctl([
    { name, pidFile, fragment, start: `sleep 600 & echo $! > '${pidFile}'` },
  ]);
  stood.run("start", name);
  t.after(() => stood.run("stop", name));
  const unitOf = (configDir: string) =>
    [
      '# Made by synlift follow. "synlift follow stop" removes it.',
      "[Service]",
      `ExecStart="/usr/local/bin/synlift" "follow" "--config-dir" "${configDir}" "--checkpoint" "spread"`,
      "",
    ].join("\n");
  const status = async () => {
    const ran = await synliftWell([...here("follow status"), "--json"], { env: { PATH: stood.path } });
    const { details, findings } = resultOf(ran);
    const told = findings.map(({ id, sentence }) => `${id}: ${sentence}`).join("\n");
    return { by: details["by"], told, hint: findings[0]?.hint ?? "" };
  };

  writeFileSync(fragment, unitOf(copy.configDir));
  const starting = await status();
  assert.equal(starting.by, "nobody");
  assert.match(
    starting.told,
    /^follow-not-running: the unit synlift-follow is about to start, again if it has failed/,
  );
  assert.match(starting.hint, /journalctl -fu synlift-follow\.service/);

  writeFileSync(fragment, unitOf(`${copy.configDir}-2`));
  assert.match((await status()).told, /^follow-not-running: no process keeps the copy up to date/);
  writeFileSync(fragment, unitOf(copy.configDir).replace("# Made by synlift follow.", "# Somebody's own."));
  assert.match((await status()).told, /^follow-not-running: no process/);

  // This process holds the lock, as one that follows and has lost its way.
  const lock = await acquireFollowLock(copy.configDir, system);
  t.after(() => lock.release());
  for (const [configDir, by] of [
    [copy.configDir, "unit"],
    [`${copy.configDir}-2`, "process"],
  ] as const) {
    writeFileSync(fragment, unitOf(configDir));
    const lost = await status();
    assert.equal(lost.by, by);
    assert.match(lost.told, /^follow-not-seen: .* seen: there is no connection to ssh:.* at the moment$/);
    assert.match(lost.hint, /^it is made again by itself; /);
    assert.equal(lost.hint.includes("journalctl"), by === "unit", lost.hint);
  }
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

test("An address of the cut-over that leads to another PostgreSQL is told with the copy's port, and no role is offered.", async () => {
  const { socketFolder, port } = followed.old.address;
  const ran = await synlift([
    ...["pull", followed.ssh.address, "--ssh-config", followed.ssh.configFile, "--followed", "--rehearse"],
    ...["--config-dir", copy.configDir, "--layout", "debian", "--owner", userInfo().username],
    ...["--database", `host=${socketFolder} port=${port} user=nobody-there dbname=synapse`],
  ]);
  assert.equal(ran.code, 12, ran.stderr);
  const words = ran.stderr.replaceAll(/\s+/g, " ");
  assert.match(words, new RegExp(`the copy that follows is on port ${copy.port} of this host`));
  assert.doesNotMatch(words, /--create-role/);
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
  assert.match(text, /^SuccessExitStatus=143$/m);
  assert.deepEqual(stood.calls, [
    ...["daemon-reload", `enable ${unit}`, `stop ${unit}`, `start ${unit}`].map((one) =>
      one.replace(/-reload$/, "-reload "),
    ),
  ]);
  assert.equal(existsSync(served.data), false, "the unit copies");
  await synliftWell([...here("follow stop", served), "--systemd-dir", units, "--yes"], { env });
  assert.equal(existsSync(path), false);
});

test("A port that is taken before the copy begins keeps it from beginning; taken later, the copy stays and is given another port.", async (t) => {
  const late = await followed.copy("late");
  const unit = "synlift-follow.service";
  const env = { PATH: new StandInSystemctl([{ name: unit, start: "true", pidFile: "/nonexistent" }]).path };
  const units = join(late.configDir, "units");
  mkdirSync(units);
  // Prepared, and the unit would begin to copy.
  await synliftWell([...late.args, "--service", "--systemd-dir", units, "--yes"], { env });
  const first = await freePort();
  await synliftWell([...here("follow", late), "--port", `${first}`, "--service", "--systemd-dir", units], {
    env,
  });
  await t.test("before", async (inner) => {
    await occupy(first, inner);
    const ran = await synlift([...here("follow", late), "--checkpoint", "fast"]);
    assert.equal(ran.code, 41, ran.stderr);
    assert.equal(existsSync(late.data), false);
  });

  let isTaken = false;
  const ran = await synlift([...here("follow", late), "--checkpoint", "fast", "--max-rate", "8M"], {
    killWhen: (said) => {
      if (!isTaken && said.includes("copy of the old server's data")) {
        isTaken = true;
        void occupy(first, t);
      }
      return false;
    },
  });
  assert.equal(ran.code, 44, ran.stderr);
  const words = ran.stderr.replaceAll(/\s+/g, " ");
  assert.match(words, new RegExp(`port ${first} of this host is in use by node, process ${process.pid}`));
  assert.match(words, /a copy that is complete stays.*synlift follow --port/);
  const { ctimeMs } = statSync(join(late.data, "backup_manifest"));

  const [second, third] = [await freePort(), await freePort()];
  await synliftWell([...here("follow", late), "--port", `${second}`, "--until-caught-up"]);
  const dry = await synliftWell([...here("follow", late), "--port", `${third}`, "--dry-run"]);
  assert.match(dry.stdout, new RegExp(`give it port ${third}`));
  assert.equal(standbyOf((await readFollowState(late.configDir, system))!).port, second);
  await synliftWell([...here("follow", late), "--port", `${third}`, "--until-caught-up"]);
  const server = standbyOf((await readFollowState(late.configDir, system))!);
  assert.equal(server.port, third);
  const session = await postgres.connect(standbyDatabase(server, "synapse", machine));
  const { rows } = await session
    .one<{ rows: number }>("select count(*)::int as rows from events")
    .finally(() => session.close());
  assert.equal(rows, 500);
  assert.equal(statSync(join(late.data, "backup_manifest")).ctimeMs, ctimeMs, "nothing was copied again");
  await synliftWell([...here("follow stop", late), "--systemd-dir", units, "--yes"], { env });
});
