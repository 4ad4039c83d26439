import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeFileReadOnly, restoreFileMode } from "../../../src/homeserver/database/fence.ts";
import { fenceAfterStop, fenceBeforeStop } from "../../../src/homeserver/service/fence/host.ts";
import { FenceRecord } from "../../../src/homeserver/service/fence/record.ts";
import { stopServer, waitUntilDown } from "../../../src/homeserver/service/stop.ts";
import type { Supervisor } from "../../../src/homeserver/service/supervisor.ts";
import { describeUndo, undoOnHost } from "../../../src/homeserver/service/undo.ts";
import { undoOrder } from "../../../src/move/old-server/undo.ts";
import { containerState } from "../../../src/system/containers.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import { noProgress } from "../../../src/system/progress.ts";
import { blockUnit, fenceDropIn, unblockUnit } from "../../../src/system/systemd/systemctl.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsBefore, programsWith } from "../../support/real-world.ts";
import { StandInSystemctl } from "../../support/stand-in-systemctl.ts";

const machine = machineWith();
const UNITS: Supervisor = { kind: "units", units: ["main.service", "worker.service"] };

/** Two units that run a sleep each. */
function twoUnits() {
  const folder = temporaryFolder("units");
  const units = UNITS.kind === "units" ? UNITS.units : [];
  const systemctl = new StandInSystemctl(
    units.map((name) => {
      const pidFile = join(folder, `${name}.pid`);
      return { name, pidFile, start: `sleep 60 & echo $! > ${pidFile}` };
    }),
  );
  for (const name of units) systemctl.run("start", name);
  return { systemctl, programs: programsWith({ PATH: systemctl.path }) };
}

async function recordFor(supervisor: Supervisor, folder = temporaryFolder("fence")): Promise<FenceRecord> {
  const source = { configPaths: ["/etc/homeserver.yaml"], workingFolder: "/", map: [] };
  return FenceRecord.open(folder, { subject: "old.example", source, supervisor }, files, machine);
}

async function undoAll(
  record: FenceRecord,
  programs: ReturnType<typeof programsWith>,
  startCommand?: string,
) {
  for (const change of undoOrder(record)) {
    await undoOnHost(change, record.supervisor, startCommand, { programs, files, machine });
    // Each may be repeated.
    await undoOnHost(change, record.supervisor, startCommand, { programs, files, machine });
    await record.undone(change);
  }
}

test("units with their workers are disabled, stopped by one call, masked, and put back as they were", async () => {
  const { systemctl, programs } = twoUnits();
  systemctl.run("disable", "worker.service");
  const before = systemctl.calls.length;
  const record = await recordFor(UNITS);
  const fencing = { record, accepted: [], programs, files };
  await fenceBeforeStop(fencing);
  assert.equal(systemctl.isActive("main.service"), true, "so far nobody lost anything");
  await stopServer({ supervisor: UNITS, record, programs, machine });
  await fenceAfterStop(fencing);
  assert.deepEqual(systemctl.calls.slice(before), [
    "disable main.service",
    "stop main.service worker.service",
    "mask main.service",
    "mask worker.service",
  ]);
  await undoAll(record, programs);
  assert.equal(systemctl.isActive("main.service") && systemctl.isActive("worker.service"), true);
  assert.equal(systemctl.is("enabled", "main.service"), true);
  assert.equal(systemctl.is("enabled", "worker.service"), false, "it was not enabled before");
  assert.deepEqual(record.activeChanges, []);
  systemctl.run("stop", "main.service", "worker.service");
});

test("what was masked and down before is left so", async () => {
  const { systemctl, programs } = twoUnits();
  systemctl.run("stop", "main.service", "worker.service");
  systemctl.run("disable", "main.service", "worker.service");
  systemctl.run("mask", "main.service", "worker.service");
  const record = await recordFor(UNITS);
  const fencing = { record, accepted: [], programs, files };
  await fenceBeforeStop(fencing);
  await stopServer({ supervisor: UNITS, record, programs, machine });
  await fenceAfterStop(fencing);
  assert.deepEqual(record.activeChanges, []);
});

test("a change is written down before it is made, and one that failed can be undone", async () => {
  const folder = temporaryFolder("fence");
  const record = await recordFor(UNITS, folder);
  const change = { kind: "unit-masked", name: "main.service", before: null } as const;
  await assert.rejects(
    record.apply(change, async () => {
      const seen = await FenceRecord.read(folder, files, machine);
      assert.deepEqual(
        seen?.activeChanges.map(({ name, made }) => [name, made]),
        [["main.service", null]],
      );
      throw new Error("the power went");
    }),
  );
  const later = await FenceRecord.read(folder, files, machine);
  assert.equal(later!.activeChanges.length, 1);
  assert.equal(statSync(join(folder, "fence.json")).mode & 0o777, 0o600);
});

test("what a role or a unit was at first stays in the record, however often the fence is set again", async () => {
  const folder = temporaryFolder("fence");
  const record = await recordFor(UNITS, folder);
  const nothing = () => Promise.resolve();
  await record.apply({ kind: "role-writes", name: "a in b", before: "off" }, nothing);
  const again = await recordFor(UNITS, folder);
  await again.apply({ kind: "role-writes", name: "a in b", before: "on" }, nothing);
  assert.deepEqual(
    again.activeChanges.map(({ before }) => before),
    ["off"],
  );
});

test("a step of the fence that fails ends the run, unless somebody accepted it by its id", async () => {
  const { systemctl, programs } = twoUnits();
  const record = await recordFor({ kind: "units", units: ["nobody.service"] });
  const fencing = { record, accepted: [], programs, files };
  await assert.rejects(fenceBeforeStop(fencing), {
    code: "fence-failed",
    hint: /--accept fence-disable/,
    message: /systemd has no unit nobody.service/,
  });
  const findings = await fenceBeforeStop({ ...fencing, accepted: ["fence-disable"] });
  assert.deepEqual(
    findings.map(({ id, level }) => [id, level]),
    [["fence-disable", "warning"]],
  );
  systemctl.run("stop", "main.service", "worker.service");
});

test("a unit whose own file lies where a mask would go is held by a drop-in", async () => {
  const programs = programsBefore({ systemctl: "exit 0" });
  const state = {
    known: true,
    isActive: false,
    file: "enabled",
    fragment: "/etc/systemd/system/own.service",
  };
  assert.equal(fenceDropIn("own.service", state), "/etc/systemd/system/own.service.d/synlift-fence.conf");
  assert.equal(
    fenceDropIn("own.service", { ...state, fragment: "/lib/systemd/system/own.service" }),
    undefined,
  );
  assert.equal(
    fenceDropIn("w@1.service", { ...state, fragment: "/etc/systemd/system/w@.service" }),
    undefined,
  );
  const path = join(temporaryFolder("unit"), "own.service.d/synlift-fence.conf");
  await blockUnit(path, programs, files);
  assert.match(readFileSync(path, "utf8"), /^\[Unit\]\nConditionPathExists=\/nonexistent/m);
  await unblockUnit(path, programs, files);
  await unblockUnit(path, programs, files);
  assert.equal(existsSync(path), false);
});

/** docker, as far as it is called: a container whose state is in two files. */
function standInDocker(policy: string, retries = 0) {
  const folder = temporaryFolder("docker");
  writeFileSync(join(folder, "running"), "true");
  writeFileSync(join(folder, "policy"), JSON.stringify({ Name: policy, MaximumRetryCount: retries }));
  const script = `cd ${folder}; echo "$*" >> calls
case $1 in
  inspect) printf '[{"State":{"Running":%s},"HostConfig":{"RestartPolicy":%s}}]' "$(cat running)" "$(cat policy)";;
  update) name=\${2#--restart=}; count=0; case $name in *:*) count=\${name#*:}; name=\${name%:*};; esac
    printf '{"Name":"%s","MaximumRetryCount":%s}' "$name" "$count" > policy;;
  stop) printf false > running;;
  start) printf true > running;;
  *) exit 1;;
esac`;
  return {
    programs: programsBefore({ docker: script }),
    calls: () => readFileSync(join(folder, "calls"), "utf8"),
  };
}

for (const [policy, retries, expected] of [
  ["unless-stopped", 0, "unless-stopped"],
  ["on-failure", 5, "on-failure:5"],
] as const) {
  test(`a container with the policy ${expected} is stopped, and gets it back`, async () => {
    const { programs, calls } = standInDocker(policy, retries);
    const supervisor: Supervisor = { kind: "containers", engine: "docker", containers: ["synapse"] };
    const record = await recordFor(supervisor);
    await fenceBeforeStop({ record, accepted: [], programs, files });
    await stopServer({ supervisor, record, programs, machine });
    assert.deepEqual(await containerState("docker", "synapse", programs), { isRunning: false, policy: "no" });
    assert.match(calls(), /^stop --time 60 synapse$/m);
    await undoAll(record, programs);
    assert.deepEqual(await containerState("docker", "synapse", programs), {
      isRunning: true,
      policy: expected,
    });
  });
}

test("synctl and a person's own commands stop it and start it again, and the command that stops is not kept", async () => {
  const folder = temporaryFolder("own");
  const log = join(folder, "log");
  const programs = programsBefore({});
  const commands: Supervisor = {
    kind: "commands",
    stop: `echo stop >> ${log}`,
    start: `echo start >> ${log}`,
  };
  const record = await recordFor(commands, folder);
  await stopServer({ supervisor: commands, record, programs, machine });
  assert.doesNotMatch(readFileSync(join(folder, "fence.json"), "utf8"), /echo stop/);
  await undoAll(record, programs);
  assert.match(readFileSync(log, "utf8"), /^stop\nstart\n/);

  const synctl = join(folder, "synctl");
  writeFileSync(synctl, `#!/bin/sh\necho synctl "$@" "in $PWD" >> ${log}\n`);
  chmodSync(synctl, 0o755);
  const supervisor: Supervisor = {
    kind: "synctl",
    program: synctl,
    config: "/srv/h.yaml",
    folder,
    account: null,
  };
  const other = await recordFor(supervisor);
  await stopServer({ supervisor, record: other, programs, machine });
  await undoAll(other, programs);
  assert.match(
    readFileSync(log, "utf8"),
    new RegExp(`synctl stop /srv/h.yaml in ${folder}\nsynctl start /srv/h.yaml in`),
  );
});

test("where a person stopped it a person starts it, unless a command was given", async () => {
  const programs = programsBefore({});
  const record = await recordFor({ kind: "person" });
  await stopServer({ supervisor: record.supervisor, record, programs, machine });
  const [change] = undoOrder(record);
  assert.equal(await undoOnHost(change!, record.supervisor, undefined, { programs, files, machine }), false);
  assert.match(describeUndo(change!, record.supervisor), /the way you usually do/);
  const log = join(temporaryFolder("start"), "log");
  assert.equal(
    await undoOnHost(change!, record.supervisor, `echo up > ${log}`, { programs, files, machine }),
    true,
  );
  assert.equal(readFileSync(log, "utf8"), "up\n");
});

test("a person is told what is still up and waited for; without one the wait has an end", async () => {
  const up = { id: "homeserver-process", level: "blocker", sentence: "it runs" } as const;
  const notes: string[] = [];
  let looks = 0;
  let time = 0;
  const clock = machineWith({
    elapsed: () => time,
    wait: (milliseconds) => {
      time += milliseconds;
      return Promise.resolve();
    },
  });
  const waiting = { machine: clock, signal: new AbortController().signal };
  const progress = { ...noProgress, note: (sentence: string) => notes.push(sentence) };
  await waitUntilDown(() => Promise.resolve(++looks < 200 ? [up] : []), {
    ...waiting,
    progress,
    person: true,
  });
  assert.deepEqual(notes, ["stop the server now; it is still running: it runs"]);
  await assert.rejects(
    waitUntilDown(() => Promise.resolve([up]), { ...waiting, progress, person: false }),
    { code: "homeserver-running", message: /was stopped, but is still running: it runs/ },
  );
});

test("a SQLite file loses its write bits and gets its mode back", async () => {
  const path = join(temporaryFolder("db"), "homeserver.db");
  writeFileSync(path, "x", { mode: 0o660 });
  chmodSync(path, 0o660);
  await makeFileReadOnly(path, files);
  assert.equal(statSync(path).mode & 0o777, 0o440);
  await restoreFileMode(path, "660", files);
  assert.equal(statSync(path).mode & 0o777, 0o660);
  await restoreFileMode(`${path}.gone`, "660", files);
});
