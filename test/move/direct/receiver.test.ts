import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { Receiver } from "../../../src/move/direct/receiver.ts";
import { Channel } from "../../../src/pipeline/channel.ts";
import { callingPeer } from "../../../src/system/programs/peer.ts";
import { silent } from "../../../src/system/progress.ts";

const NEVER = new AbortController().signal;

test("a remark of the old host goes by its label, and by its id where an older synlift sends none", async () => {
  const [there, back] = [new PassThrough(), new PassThrough()];
  const from = await Channel.begin(callingPeer(back, there, NEVER), { there: "on the new host" });
  const to = await Channel.begin(callingPeer(there, back, NEVER), { there: "on the old host" });
  const told: string[] = [];
  const receiver = new Receiver(to, {
    ...silent,
    remark: ({ id, label }, why) => {
      told.push(`${id}, ${label}: ${why}`);
    },
    outage: () => undefined,
    stop: () => undefined,
  });
  const remark = { type: "remark", id: "export/database", why: "done already" };
  await from.say({ ...remark, label: "database" });
  await from.say(remark);
  await from.say({ type: "has", name: "x" });
  assert.deepEqual(await receiver.hear(), { type: "has", name: "x" });
  assert.deepEqual(told, [
    "export/database, database: done already",
    "export/database, export/database: done already",
  ]);
  from.leave();
  to.leave();
});
