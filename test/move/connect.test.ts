import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { MigrationError } from "../../src/errors.ts";
import { callBySsh, withChannel } from "../../src/move/connect.ts";
import type { System } from "../../src/system/system.ts";
import { machineWith } from "../support/fake-machine.ts";
import { programsWith } from "../support/real-world.ts";

const src = (file: string) =>
  JSON.stringify(pathToFileURL(join(import.meta.dirname, "../../src", file)).href);

/** A program on the old host that fails with this hint. */
const failingWith = (hint: string) => `
  const { Channel } = await import(${src("pipeline/channel.ts")});
  const { parentPeer } = await import(${src("system/programs/peer.ts")});
  const { MigrationError } = await import(${src("errors.ts")});
  const peer = parentPeer(process.stdin, process.stdout, new AbortController().signal);
  const channel = await Channel.open(peer, { peerLocation: "on the new host" });
  await channel.sendError(new MigrationError("database-unsupported", "it fails", { hint: ${JSON.stringify(hint)} }));
  process.exit(0);`;

const { optionsIn } = callBySsh(
  { address: "ssh://root@old.example.org", senderCommand: "synlift follow-source", folder: "synlift-move" },
  { option: "--source-command" },
);

async function hintOf(act: (hint: string) => Promise<unknown>, hint: string): Promise<string | undefined> {
  const error = await act(hint).then(
    () => undefined,
    (failure: unknown) => failure,
  );
  assert.ok(error instanceof MigrationError, String(error));
  return error.hint;
}

const system = {
  ...{ programs: programsWith(), machine: machineWith(), signal: new AbortController().signal },
} as System;
const onOldHost = (hint: string) =>
  withChannel(
    {
      call: { name: process.execPath, args: ["--input-type=module", "--eval", failingWith(hint)] },
      ...{ start: "it", optionsIn: optionsIn! },
    },
    (channel) => channel.receiveMessage(),
    system,
  );

test("an option that the old host asks for is named with the option of this command that holds it", async () => {
  assert.equal(
    await hintOf(onOldHost, "name it: --admin-database 'user=postgres'"),
    "on the old host: name it: --admin-database 'user=postgres'. From here, options for the old host are part of --source-command 'synlift follow-source …'",
  );
  assert.equal(
    await hintOf(onOldHost, "there: synlift rollback --out synlift-move"),
    "on the old host: there: synlift rollback --out synlift-move",
  );
});

test("an option of this host's own stays as it is", async () => {
  const here = (hint: string) =>
    withChannel(
      { call: { name: "cat", args: [] }, start: "it", optionsIn: optionsIn! },
      () => Promise.reject(new MigrationError("bad-usage", "it fails here", { hint })),
      system,
    );
  assert.equal(await hintOf(here, "name it: --admin-database"), "name it: --admin-database");
});
