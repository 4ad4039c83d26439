import assert from "node:assert/strict";
import { test } from "node:test";
import { liveState } from "../../../src/move/follow/live-text.ts";
import type { Followed } from "../../../src/move/follow/watch.ts";

const MIB = 1024 ** 2;
const followed: Followed = {
  writtenBytes: 5000 * MIB,
  lagBytes: 0,
  lagSeconds: 0,
  heldBytes: 16 * MIB,
  roomBytes: 40 * 1024 * MIB,
  slot: "reserved",
  connected: true,
  freeBytes: 80 * 1024 * MIB,
};
const sentence = (more: Partial<Followed>) => liveState({ ...followed, ...more }).sentence;

test("One line says how far behind a copy is, what the old server keeps for it, and what room there is.", () => {
  assert.equal(
    sentence({}),
    "the copy has everything · the old server keeps 16.0 MiB of its log for it · 40.0 GiB more until it gives the copy up · 80.0 GiB free here",
  );
  assert.match(
    sentence({ lagBytes: 3 * MIB, lagSeconds: 1.25 }),
    /^the copy is 3\.0 MiB \(1\.3 s\) behind · /,
  );
});

test("What is not known is left out: no limit of the slot, no time, no position yet.", () => {
  assert.match(sentence({ lagBytes: 3 * MIB, lagSeconds: null }), /^the copy is 3\.0 MiB behind · /);
  assert.equal(
    sentence({ lagBytes: null, heldBytes: null, roomBytes: null }),
    "the copy has not begun to follow · 80.0 GiB free here",
  );
});

test("A copy without a connection is told as one, and a limit that was passed is no negative size.", () => {
  assert.match(
    sentence({ connected: false }),
    /^the copy has everything; not connected to the old server · /,
  );
  assert.match(sentence({ roomBytes: -MIB }), / · 0 B more until it gives the copy up/);
});
