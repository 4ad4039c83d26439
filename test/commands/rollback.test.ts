import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { LOCK, MANIFEST } from "../../src/bundle/layout.ts";
import { FenceRecord } from "../../src/homeserver/service/fence/record.ts";
import { Journal } from "../../src/journal/journal.ts";
import { acquireLock } from "../../src/journal/lock.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { machineWith } from "../support/fake-machine.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { scriptsIn } from "../support/real-world.ts";
import { smallDisk } from "../support/small-disk.ts";
import { resultOf, synlift } from "../support/synlift.ts";

// Rollback as people run it, of a fence whose undoing fails at first. The old configuration is gone altogether.

const machine = machineWith();
const UNIT = "synapse.service";

/** A sealed bundle's folder, with a unit that was masked. */
async function fencedFolder(folder = temporaryFolder("rollback")): Promise<string> {
  const source = { configPaths: ["/gone/homeserver.yaml"], workingFolder: "/", map: [] };
  const supervisor = { kind: "units" as const, units: [UNIT] };
  const record = await FenceRecord.open(
    folder,
    { subject: "old.example", source, supervisor },
    realFiles,
    machine,
  );
  await record.apply({ kind: "unit-masked", name: UNIT, before: null }, () => Promise.resolve());
  await record.apply({ kind: "unit-running", name: UNIT, before: null }, () => Promise.resolve());
  const journal = await Journal.open(join(folder, "journal.json"), realFiles);
  await journal.setFact("subject", "old.example");
  writeFileSync(join(folder, MANIFEST), "{}");
  return folder;
}

const back = (folder: string, systemctl: string, ...more: string[]) =>
  synlift(["rollback", "--out", folder, "--json", ...more], {
    env: { PATH: [scriptsIn({ systemctl }), process.env["PATH"]].join(delimiter) },
  });

const NO_UNMASK = 'case "$*" in *unmask*) echo not today >&2; exit 1 ;; esac';

test("a rollback that comes to no end says all that is left, and asks again when it is run again", async () => {
  const folder = await fencedFolder();
  const first = await back(folder, NO_UNMASK, "--yes");
  assert.equal(first.code, 18, first.stderr);
  const { findings, details } = resultOf(first);
  assert.ok(findings.some(({ id }) => id === "config-unreadable"));
  assert.deepEqual(details["leftToDo"], [`then run the same rollback again: systemctl start ${UNIT}`]);
  assert.match(first.stderr, /systemctl unmask synapse\.service: .*not today/);
  assert.equal(existsSync(join(folder, MANIFEST)), false, "nobody restores it by mistake");

  const again = await back(folder, "exit 0");
  assert.equal(again.code, 2, "the bundle may have been opened in between");
  assert.match(again.stderr, /the new server may already be open/);

  const last = await back(folder, "exit 0", "--yes");
  assert.equal(last.code, 0, last.stderr);
  assert.match(last.stderr, /systemctl start synapse\.service/);
  assert.equal((await back(folder, "exit 0")).code, 0, "once the old server serves nobody is asked any more");
});

test("on a full disk it undoes all the same, and says so; but not beside a run that holds the lock", async (t) => {
  const folder = await fencedFolder(await smallDisk(t));
  const lock = join(folder, LOCK);
  const held = await acquireLock(lock, realFiles, machine);
  const filler = join(folder, "customer_db_export.sql.gz.gpg");
  try {
    writeFileSync(filler, Buffer.alloc(4 * 1024 * 1024));
  } catch {
    // Until nothing more went in.
  }
  const beside = await back(folder, "exit 0", "--yes");
  assert.equal(beside.code, 21, beside.stderr);
  assert.match(readFileSync(join(folder, "fence.json"), "utf8"), /"undone": null/);
  await held.release();

  const full = await back(folder, "exit 0", "--yes");
  assert.equal(full.code, 0, full.stderr);
  assert.ok(resultOf(full).findings.some(({ id }) => id === "record-not-written"));
  assert.match(full.stderr, /systemctl start synapse\.service/);
  assert.equal(existsSync(join(folder, MANIFEST)), false);
});

test("on another machine than the one that was fenced, rollback changes nothing, and status says where the fence is", async () => {
  const folder = await fencedFolder();
  const path = join(folder, "fence.json");
  const record = JSON.parse(readFileSync(path, "utf8")) as { madeOn: unknown };
  record.madeOn = { id: "0".repeat(32), hostname: "old.example" };
  writeFileSync(path, JSON.stringify(record));
  const calls = join(folder, "calls");
  const ran = await back(folder, `echo "$@" >> ${calls}`, "--yes", "--force");
  assert.equal(ran.code, 38, ran.stderr);
  assert.match(ran.stderr, /was made on old\.example/);
  assert.ok(existsSync(join(folder, MANIFEST)), "the bundle stays sealed");
  assert.deepEqual([existsSync(calls), existsSync(join(folder, "lock"))], [false, false]);

  const status = await synlift(["status", "--out", folder, "--json"]);
  const { findings, details } = resultOf(status);
  assert.equal(details["fenced"], false);
  assert.ok(findings.some(({ id, level }) => id === "other-machine" && level === "warning"));
  assert.ok(findings.every(({ id }) => !id.startsWith("fence")));
});
