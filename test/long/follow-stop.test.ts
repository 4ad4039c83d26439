import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { processesWith } from "../support/follow/found-processes.ts";
import { startFollow, untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides, type NewSide, type TwoSides } from "../support/follow/two-sides.ts";
import type { Writer } from "../support/follow/writer.ts";
import { synlift, synliftWell } from "../support/synlift.ts";

// Whenever a copy, and its undoing, are killed: nothing of it is left on either host in the end.

const MOMENTS = 10;
const seed = Number(process.env["FOLLOW_STOP_SEED"] ?? randomInt(2 ** 31));
let two: TwoSides;
let place: NewSide;
let writer: Writer;
let untouched: Awaited<ReturnType<TwoSides["traces"]>>;
/** Milliseconds that each takes when nobody disturbs it. */
const takes = { follow: 0, stop: 0 };

before(async () => {
  two = await makeTwoSides();
  place = await makeNewSide(two.to);
  writer = await two.write({ perSecond: 5 });
  untouched = await two.traces();
});

after(async () => {
  await place.close();
  await two.close();
});

async function mustBeUndone(): Promise<void> {
  assert.deepEqual(await two.traces(), untouched);
  assert.equal(existsSync(place.data), false);
  assert.deepEqual(processesWith(place.folder), []);
  assert.deepEqual(processesWith(two.to.ssh.configFile), []);
}

test("a copy that was not disturbed is undone, and undoing it again does nothing", async () => {
  let began = performance.now();
  await synliftWell([...place.follow, "--until-caught-up"]);
  takes.follow = performance.now() - began;
  began = performance.now();
  await synliftWell(place.stop);
  takes.stop = performance.now() - began;
  await mustBeUndone();
  await synliftWell(place.stop);
  await mustBeUndone();
});

test("a copy that runs is not undone beside it", async () => {
  const running = startFollow(place);
  await untilFollows(place, await two.position(), running);
  const refused = await synlift(place.stop);
  assert.notEqual(refused.code, 0, refused.stdout);
  await running.interrupt();
  await synliftWell(place.stop);
  await mustBeUndone();
});

for (let moment = 0; moment < MOMENTS; moment += 1) {
  const part = fraction(seed + moment);
  const at = `${(part * 100).toFixed(0)} % of its time (seed ${seed})`;
  test(`a first copy that is killed at ${at} is undone`, async () => {
    const running = startFollow(place, "--until-caught-up");
    await wait(part * takes.follow);
    await running.kill();
    await synliftWell(place.stop);
    await mustBeUndone();
  });

  test(`an undoing that is killed at ${at} is finished by the next`, async () => {
    await synliftWell([...place.follow, "--until-caught-up"]);
    let kill: NodeJS.Timeout | undefined = undefined;
    await synlift(place.stop, {
      started: (child) => (kill = setTimeout(() => child.kill("SIGKILL"), part * takes.stop)),
    });
    clearTimeout(kill);
    await synliftWell(place.stop);
    await mustBeUndone();
  });
}

test("people wrote all the time, and nobody was refused", async () => {
  await writer.more(5);
  assert.equal(writer.failures, 0, writer.lastFailure);
});

/** A number from 0 to 1 that looks random, and is the same for the same seed (mulberry32). */
function fraction(from: number): number {
  let state = (from + 0x6d2b79f5) | 0;
  state = Math.imul(state ^ (state >>> 15), state | 1);
  state ^= state + Math.imul(state ^ (state >>> 7), state | 61);
  return ((state ^ (state >>> 14)) >>> 0) / 2 ** 32;
}
