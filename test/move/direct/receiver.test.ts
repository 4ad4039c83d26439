import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { Receiver } from "../../../src/move/direct/receiver.ts";
import { Channel } from "../../../src/pipeline/channel.ts";
import { parentPeer } from "../../../src/system/programs/peer.ts";
import { noProgress } from "../../../src/system/progress.ts";

const NEVER = new AbortController().signal;

test("a remark of the old host goes by its label, and by its id where an older synlift sends none", async () => {
  const [there, back] = [new PassThrough(), new PassThrough()];
  const from = await Channel.open(parentPeer(back, there, NEVER), { peerLocation: "on the new host" });
  const to = await Channel.open(parentPeer(there, back, NEVER), { peerLocation: "on the old host" });
  const told: string[] = [];
  const receiver = new Receiver(to, {
    ...noProgress,
    remark: ({ id, label }, why) => {
      told.push(`${id}, ${label}: ${why}`);
    },
    outage: () => undefined,
    live: () => undefined,
    stop: () => undefined,
  });
  const remark = { type: "remark", id: "export/database", why: "already done" };
  await from.sendMessage({ ...remark, label: "database" });
  await from.sendMessage(remark);
  await from.sendMessage({ type: "has", name: "x" });
  assert.deepEqual(await receiver.receive(), { type: "has", name: "x" });
  assert.deepEqual(told, [
    "export/database, database: already done",
    "export/database, export/database: already done",
  ]);
  from.close();
  to.close();
});
