import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  newFollowState,
  readFollowState,
  removeFollowState,
  writeFollowState,
} from "../../../src/move/follow/state.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

const machine = machineWith();
const system = { files: realFiles, machine };
const made = newFollowState(
  {
    road: "standby",
    serverName: "example.org",
    old: {
      address: "ssh://root@old.example.org",
      senderCommand: "synlift follow-source",
      folder: "synlift-move",
      postgres: { host: "127.0.0.1", port: 5432 },
      database: "synapse",
      role: "synlift_follow",
      slot: "synlift_1234",
      systemIdentifier: "7433312345678901234",
      serverVersion: 150_018,
    },
    tunnel: { folder: "/run/synlift-1234" },
    here: {
      kind: "standby",
      data: "/var/lib/postgresql/15/synapse",
      programs: "/usr/lib/postgresql/15/bin",
      port: 5432,
      socketFolder: "/var/run/postgresql",
      account: "postgres",
      administrator: "postgres",
      cluster: { major: 15, name: "synapse" },
    },
  },
  machine,
);

test("What follows is remembered beside the configuration, readable by its owner only, until it is forgotten.", async () => {
  const configDir = temporaryFolder("follow-state");
  assert.equal(await readFollowState(configDir, system), undefined);
  await writeFollowState(configDir, made, realFiles);
  assert.deepEqual(await readFollowState(configDir, system), made);
  assert.equal((await realFiles.lstat(join(configDir, ".synlift/follow.json")))?.mode, 0o600);
  await removeFollowState(configDir, made, realFiles);
  assert.equal(await readFollowState(configDir, system), undefined);
  await removeFollowState(configDir, undefined, realFiles);
});

test("What another machine follows is not acted on here.", async () => {
  const configDir = temporaryFolder("follow-state");
  await writeFollowState(
    configDir,
    { ...made, madeOn: { id: "0".repeat(32), hostname: "elsewhere" } },
    realFiles,
  );
  await assert.rejects(readFollowState(configDir, system), { code: "other-machine" });
});

for (const [what, text] of [
  ["no JSON", "{"],
  ["of another format", JSON.stringify({ ...made, format: "other" })],
  ["without the old host", JSON.stringify({ ...made, old: undefined })],
  [
    "with a position that is none",
    JSON.stringify({ ...made, compared: { at: "", position: "0/'; --", file: "x" } }),
  ],
] as const)
  test(`A file that is ${what} is named, and nothing is guessed.`, async () => {
    const configDir = temporaryFolder("follow-state");
    mkdirSync(join(configDir, ".synlift"));
    writeFileSync(join(configDir, ".synlift/follow.json"), text);
    await assert.rejects(readFollowState(configDir, system), {
      code: "bundle-damaged",
      message: /follow\.json/,
    });
  });
