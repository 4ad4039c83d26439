import assert from "node:assert/strict";
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MigrationError } from "../../../src/errors.ts";
import { fenceAfterStop, fenceBeforeStop } from "../../../src/homeserver/service/fence/host.ts";
import { FenceRecord } from "../../../src/homeserver/service/fence/record.ts";
import { stopServer } from "../../../src/homeserver/service/stop.ts";
import { BestEffort } from "../../../src/move/old-server/best-effort.ts";
import { readExportState } from "../../../src/move/old-server/export-state.ts";
import { undoAndStart, type UndoRequest } from "../../../src/move/old-server/undo.ts";
import { type Files, realFiles } from "../../../src/system/files/files.ts";
import { noProgress } from "../../../src/system/progress.ts";
import type { System } from "../../../src/system/system.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsBefore, programsWith } from "../../support/real-world.ts";
import { StandInSystemctl } from "../../support/stand-in-systemctl.ts";

const machine = machineWith();
const UNIT = "synapse.service";
const MADE = {
  subject: "old.example",
  source: { configPaths: ["/gone/homeserver.yaml"], workingFolder: "/", map: [] },
  supervisor: { kind: "units", units: [UNIT] },
} as const;

/** A unit that was stopped and fenced, with a database file that can only be read. */
async function fenced() {
  const folder = temporaryFolder("put-back");
  const pidFile = join(folder, "pid");
  const systemctl = new StandInSystemctl([{ name: UNIT, pidFile, start: `sleep 60 & echo $! > ${pidFile}` }]);
  systemctl.run("start", UNIT);
  const programs = programsWith({ PATH: systemctl.path });
  const record = await FenceRecord.open(folder, made(), realFiles, machine);
  const fencing = { record, accepted: [], programs, files: realFiles };
  await fenceBeforeStop(fencing);
  await stopServer({ supervisor: record.supervisor, record, programs, machine });
  await fenceAfterStop(fencing);
  const database = join(folder, "homeserver.db");
  writeFileSync(database, "");
  chmodSync(database, 0o640);
  await record.apply({ kind: "file-writes", name: database, before: "640" }, () =>
    realFiles.setMode(database, 0o440),
  );
  return { folder, database, systemctl, programs };
}

const made = () => ({
  ...MADE,
  supervisor: { kind: "units" as const, units: [UNIT] },
  source: { ...MADE.source, configPaths: [...MADE.source.configPaths], map: [] },
});

async function back(
  { folder, programs }: { folder: string; programs: System["programs"] },
  given: Partial<UndoRequest> = {},
  files: Files = realFiles,
) {
  const record = (await FenceRecord.read(folder, files, machine))!;
  const unwritten = new BestEffort();
  const system = { files, machine, programs } as System;
  const from = { record, homeserver: undefined, accepted: [], unwritten, ...given };
  const went = await undoAndStart(from, system, noProgress);
  return { ...went, record, unwritten };
}

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

test("without the configuration everything that stands on the host is undone, and the server started", async () => {
  const host = await fenced();
  const went = await back(host);
  assert.deepEqual([went.failure, went.leftToDo, went.started], [undefined, [], true]);
  assert.equal(modeOf(host.database), "640");
  assert.deepEqual(
    [host.systemctl.is("masked", UNIT), host.systemctl.is("enabled", UNIT), host.systemctl.isActive(UNIT)],
    [false, true, true],
  );
  assert.equal(went.record.activeChanges.length, 0);
  host.systemctl.run("stop", UNIT);
});

test("what cannot be undone keeps nothing else from it; the server starts where it can serve without", async () => {
  const host = await fenced();
  const refusing = programsBefore({
    systemctl: `[ "$2" = enable ] && { echo read-only >&2; exit 1; }
    PATH=${host.systemctl.path} exec systemctl "$@"`,
  });
  const went = await back({ ...host, programs: refusing });
  assert.equal(went.failure?.code, "fence-failed");
  assert.match(went.failure.message, /systemctl enable synapse\.service: .*read-only/s);
  assert.match(went.failure.hint ?? "", /--accept fence-disable$/);
  assert.equal(host.systemctl.isActive(UNIT), true);
  assert.deepEqual(
    went.record.activeChanges.map(({ kind }) => kind),
    ["unit-enabled"],
  );
  const accepted = await back({ ...host, programs: refusing }, { accepted: ["fence-disable"] });
  assert.equal(accepted.failure, undefined);
  assert.match(accepted.leftToDo.join("\n"), /^systemctl enable synapse\.service: /);
  assert.equal(accepted.record.activeChanges.length, 0);
  host.systemctl.run("stop", UNIT);
});

test("a server that could not write is not started, until a person has seen to its database", async () => {
  const host = await fenced();
  const name = "synapse in synapse";
  const record = (await FenceRecord.read(host.folder, realFiles, machine))!;
  await record.apply({ kind: "role-writes", name, before: null }, () => Promise.resolve());
  const went = await back(host);
  assert.equal(went.failure?.code, "fence-failed");
  assert.match(
    went.failure.message,
    /the configuration, which cannot be read; do this manually: in psql on synapse: SET .* ALTER ROLE "?synapse"? IN DATABASE/,
  );
  assert.deepEqual(went.leftToDo, [`then run the same rollback again: systemctl start ${UNIT}`]);
  assert.deepEqual([went.readOnly, went.started, host.systemctl.isActive(UNIT)], [true, false, false]);
  assert.equal(host.systemctl.is("masked", UNIT), false);
  const accepted = await back(host, { accepted: ["fence-database"] });
  assert.deepEqual(
    [accepted.failure, accepted.started, host.systemctl.isActive(UNIT)],
    [undefined, true, true],
  );
  host.systemctl.run("stop", UNIT);
});

test("a start that fails is said as such, and the same rollback starts it later", async () => {
  const host = await fenced();
  const refusing = programsBefore({
    systemctl: `[ "$2" = start ] && exit 1
    PATH=${host.systemctl.path} exec systemctl "$@"`,
  });
  const went = await back({ ...host, programs: refusing });
  assert.deepEqual([went.failure?.code, went.started, went.readOnly], ["start-failed", false, false]);
  assert.deepEqual(
    went.record.activeChanges.map(({ kind }) => kind),
    ["unit-running"],
  );
  assert.equal((await back(host)).started, true);
  host.systemctl.run("stop", UNIT);
});

test("on a full disk the server comes back although nothing can be written down; the next run says the rest", async () => {
  const host = await fenced();
  const full: Files = {
    ...realFiles,
    writeAtomically: (path) => Promise.reject(new MigrationError("disk-full", `no space left for ${path}`)),
  };
  const went = await back(host, {}, full);
  assert.deepEqual([went.failure, went.started, host.systemctl.isActive(UNIT)], [undefined, true, true]);
  const [finding] = went.unwritten.findings(host.folder);
  assert.match(finding!.sentence, /could be recorded in .*: no space left for .*fence\.json/);
  assert.match(finding!.hint!, /customer_\*/);
  // The record still has all of it: it is undone once more, and is then gone.
  assert.equal((await FenceRecord.read(host.folder, realFiles, machine))!.activeChanges.length, 4);
  const again = await back(host);
  assert.deepEqual([again.record.activeChanges.length, again.unwritten.findings(host.folder)], [0, []]);
  host.systemctl.run("stop", UNIT);
});

test("a fence is found without a journal, and with one that cannot be read; neither is nothing begun", async () => {
  const { folder } = await fenced();
  const system = { files: realFiles, machine };
  const without = await readExportState(folder, system);
  assert.equal(without.record!.activeChanges.length, 4);
  assert.match(without.findings[0]!.sentence, /journal\.json does not exist/);
  writeFileSync(join(folder, "journal.json"), '{"format":');
  const broken = await readExportState(folder, system);
  assert.match(broken.findings[0]!.sentence, /is not a journal that this version can read/);
  rmSync(join(folder, "fence.json"));
  await assert.rejects(readExportState(folder, system), {
    code: "bundle-damaged",
    hint: /no active fence in it/,
  });
  rmSync(join(folder, "journal.json"));
  await assert.rejects(readExportState(folder, system), { code: "bundle-incomplete" });
});

test("a record that would take away another file, or give a mode that is none, is refused", async () => {
  const { folder } = await fenced();
  const path = join(folder, "fence.json");
  const whole = readFileSync(path, "utf8");
  const broken = [
    whole.replace('"before": "640"', '"before": "rw-r-----"'),
    whole.replace('"before": "640"', '"before": null'),
    whole.replace(/"unit-masked",(\s+"name": "[^"]+",\s+"before":) null/, '"unit-held",$1 "/etc/passwd"'),
  ];
  for (const text of broken) {
    assert.notEqual(text, whole);
    writeFileSync(path, text);
    await assert.rejects(FenceRecord.read(folder, realFiles, machine), {
      code: "bundle-damaged",
      message: /fence\.json cannot be read; it is needed to undo the fence/,
    });
  }
});
