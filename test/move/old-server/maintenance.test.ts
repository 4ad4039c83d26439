import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MigrationError } from "../../../src/errors.ts";
import { FenceRecord } from "../../../src/homeserver/service/fence/record.ts";
import { isWebServerBefore } from "../../../src/homeserver/service/fence/web-server-before.ts";
import {
  assertCanAnswer,
  beginAnswering,
  type MaintenanceAtStop,
} from "../../../src/move/old-server/maintenance-at-stop.ts";
import { BestEffort } from "../../../src/move/old-server/best-effort.ts";
import { assertAnswering, endAnswering } from "../../../src/move/old-server/end-answering.ts";
import { findLifted } from "../../../src/move/old-server/lifted.ts";
import { undoAndStart } from "../../../src/move/old-server/undo.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { NoAnswer } from "../../../src/system/http/no-answer.ts";
import { noProgress } from "../../../src/system/progress.ts";
import type { System } from "../../../src/system/system.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith } from "../../support/real-world.ts";

// The web server's answer for the outage, step by step; with a real nginx in test/e2e/stop-and-rollback.test.ts.

const MESSAGE = "back soon";

/** A web server that is a log of its tests and reloads; `answers` says what a client gets. */
async function webServer(
  answers: () => { status: number; body: object } | NoAnswer,
  commands: { test?: string; reload?: string } = {},
  supervisor: { kind: "person" } | { kind: "commands"; start: string } = { kind: "person" },
) {
  const folder = temporaryFolder("maintenance");
  const path = join(folder, "down.conf");
  const log = join(folder, "log");
  writeFileSync(log, "");
  // Waiting costs no time.
  let elapsed = 0;
  const machine = machineWith({
    elapsed: () => elapsed,
    wait: (milliseconds) => {
      elapsed += milliseconds;
      return Promise.resolve();
    },
  });
  const http = {
    get: () => {
      const found = answers();
      if (found instanceof NoAnswer) return Promise.reject(found);
      return Promise.resolve({
        status: found.status,
        headers: {},
        body: Buffer.from(JSON.stringify(found.body)),
      });
    },
  };
  const signal = new AbortController().signal;
  const system = { files: realFiles, programs: programsWith(), machine, http, signal } as unknown as System;
  const made = {
    subject: "old.example",
    source: { configPaths: [], workingFolder: "/", map: [] },
    supervisor,
  };
  const record = await FenceRecord.open(folder, made, realFiles, machine);
  const order: MaintenanceAtStop = {
    proxy: "nginx",
    path,
    test: commands.test ?? `echo test >> ${log}`,
    reload: commands.reload ?? `echo reload >> ${log}`,
    url: undefined,
    answer: { retryAfter: 60, message: MESSAGE },
  };
  const begin = () => beginAnswering(order, { publicUrl: "https://old.example/", record }, system);
  return {
    folder,
    path,
    system,
    record,
    order,
    begin,
    logged: () => readFileSync(log, "utf8").split("\n").slice(0, -1),
  };
}

const down = () => ({ status: 503, body: { error: MESSAGE } });

const failsWith = (words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MigrationError && error.code === "fence-failed", String(error));
  assert.match(error.message, words);
  return true;
};

test("the answer is written, checked, read and seen, and the record has the way back", async () => {
  const web = await webServer(down);
  const findings = await web.begin();
  assert.deepEqual(
    findings.map(({ id }) => id),
    ["maintenance-answers"],
  );
  assert.match(readFileSync(web.path, "utf8"), /^# Written by synlift[^]*return 503/);
  assert.deepEqual(web.logged(), ["test", "reload"]);
  assert.deepEqual((await findLifted(web.record, web.system)).lifted, []);
  writeFileSync(web.path, "# by hand\n");
  assert.match(
    (await findLifted(web.record, web.system)).lifted.join(),
    /no longer holds the maintenance answer/,
  );
});

test("a file that the site does not include is found, and everything is put back", async () => {
  const web = await webServer(() => ({ status: 200, body: { versions: [] } }));
  await assert.rejects(web.begin(), failsWith(/does not get the answer of .*down\.conf, but 200/));
  assert.deepEqual([existsSync(web.path), web.logged()], [false, ["test", "reload", "reload"]]);
  assert.deepEqual(web.record.activeChanges, []);
});

test("another server's 503 is not taken for the answer", async () => {
  const web = await webServer(() => ({ status: 503, body: { error: "overloaded" } }));
  await assert.rejects(web.begin(), failsWith(/but 503/));
  assert.equal(existsSync(web.path), false);
});

test("a reload that fails leaves the web server with what it has", async () => {
  const web = await webServer(down, { reload: "echo unit is not active >&2; exit 5" });
  writeFileSync(web.path, "# mine\n");
  await assert.rejects(web.begin(), failsWith(/cannot be told.*unit is not active/s));
  assert.equal(readFileSync(web.path, "utf8"), "# mine\n");
  assert.deepEqual(web.record.activeChanges, []);
});

test("an address that cannot be reached from here is no failure, but said", async () => {
  const web = await webServer(() => new NoAnswer("refused", "no route"));
  const [finding] = await web.begin();
  assert.deepEqual([finding?.id, finding?.level], ["maintenance-unseen", "warning"]);
  assert.ok(existsSync(web.path));
});

test("begun twice, as after an interruption, it still knows what was there before", async () => {
  const web = await webServer(down);
  writeFileSync(web.path, "# mine\n");
  await web.begin();
  await web.begin();
  const again = (await FenceRecord.read(web.folder, realFiles, web.system.machine))!;
  assert.equal(again.activeChanges.length, 1);
  assert.deepEqual(
    await endAnswering(web.folder, true, web.system).then(([one]) => one?.id),
    "maintenance-ended",
  );
  assert.equal(readFileSync(web.path, "utf8"), "# mine\n");
});

test("a file with statements of somebody else is refused while nothing is changed", async () => {
  const web = await webServer(down);
  writeFileSync(web.path, "# mine\nlocation / { return 204; }\n");
  await assert.rejects(assertCanAnswer(web.order, web.system), /synlift did not write it/);
  writeFileSync(web.path, "\n  # only words\n");
  await assertCanAnswer(web.order, web.system);
  await assert.rejects(
    assertCanAnswer({ ...web.order, test: "echo line 3 >&2; false" }, web.system),
    failsWith(/wrong already: .*line 3/s),
  );
  assert.equal(readFileSync(web.path, "utf8"), "\n  # only words\n");
});

test("a rollback takes it away last, and keeps it while the server could not be started", async () => {
  const web = await webServer(down, {}, { kind: "commands", start: "false" });
  await web.begin();
  await web.record.apply({ kind: "running", name: "command", before: null }, () => Promise.resolve());
  const back = async (startCommand?: string) => {
    const record = (await FenceRecord.read(web.folder, realFiles, web.system.machine))!;
    const from = { record, homeserver: undefined, accepted: [], unwritten: new BestEffort(), startCommand };
    return undoAndStart(from, web.system, noProgress);
  };
  const failed = await back();
  assert.equal(failed.failure?.code, "start-failed");
  assert.match(failed.leftToDo.join(), /then run the same rollback again: put .*down\.conf back/);
  assert.ok(existsSync(web.path));
  const went = await back("true");
  assert.deepEqual([went.failure, went.started, existsSync(web.path)], [undefined, true, false]);
});

test("where a person starts the new server, open says what is left", async () => {
  const web = await webServer(down);
  await web.begin();
  const [left] = await endAnswering(web.folder, false, web.system);
  assert.deepEqual([left?.id, existsSync(web.path)], ["maintenance-left", true]);
  await assertAnswering(web.folder, web.system);
  await assert.rejects(assertAnswering(temporaryFolder("none"), web.system), /no folder of an export/);
});

test("a record that names no commands is none", () => {
  for (const before of [null, "", "null", "{}", '{"text":1,"test":"a","reload":"b"}'])
    assert.equal(isWebServerBefore(before), false, String(before));
});
