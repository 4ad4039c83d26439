import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeTemporaryHome } from "../../src/system/gpg/temporary-home.ts";
import { machineOf } from "../support/fake-machine.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

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
