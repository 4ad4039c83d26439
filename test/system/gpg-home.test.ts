import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeTemporaryHome } from "../../src/system/gpg/temporary-home.ts";
import { openPipe } from "../../src/system/programs/pipe.ts";
import { machineOf } from "../support/fake-machine.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { smallDisk } from "../support/small-disk.ts";

test("the homes of killed runs are removed by the next run; those of running ones, of other hosts and of nobody known stay", () => {
  const temporary = temporaryFolder("homes");
  const first = machineOf(100, { 100: "5", 200: "6", 300: "7" });
  const killed = makeTemporaryHome(temporary, first);
  const running = makeTemporaryHome(temporary, { ...first, pid: 200 });
  const elsewhere = makeTemporaryHome(temporary, { ...first, hostId: "another" });
  const unknown = join(temporary, "synlift-gpg-old");
  mkdirSync(unknown);
  const link = join(temporary, "synlift-gpg-link");
  symlinkSync(killed, link);
  const inContainer = makeTemporaryHome(temporary, first);
  const owner = JSON.parse(readFileSync(join(inContainer, "made-by.json"), "utf8")) as object;
  writeFileSync(join(inContainer, "made-by.json"), JSON.stringify({ ...owner, namespace: "pid:[1]" }));
  writeFileSync(join(killed, "trustdb.gpg"), "");

  // Another process has the number of the killed one by now.
  const own = makeTemporaryHome(temporary, machineOf(300, { 100: "9", 200: "6", 300: "7" }));
  assert.equal(existsSync(killed), false);
  for (const kept of [running, elsewhere, unknown, inContainer, own]) assert.ok(existsSync(kept), kept);
});

test("where the folder for temporary files is full, missing or closed, that is said with a way on, and nothing is left there", async (t) => {
  const full = await smallDisk(t, "64k");
  const fill = () => {
    for (;;) appendFileSync(join(full, "full"), new Uint8Array(4096));
  };
  assert.throws(fill, { code: "ENOSPC" });
  assert.throws(() => makeTemporaryHome(full, machineOf(100, { 100: "5" })), {
    code: "disk-full",
    message: `cannot create a folder in ${full}: no space left`,
    hint: "free some space there, or set another folder for temporary files: TMPDIR=/var/tmp",
  });
  assert.deepEqual(readdirSync(full), ["full"]);
  for (const make of [() => makeTemporaryHome("/nowhere", undefined), () => openPipe("/nowhere")])
    await assert.rejects(async () => make(), { code: "file-missing", hint: /TMPDIR=\/var\/tmp/ });
});
