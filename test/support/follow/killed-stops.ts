import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { chance } from "../moments.ts";
import { synlift, synliftWell } from "../synlift.ts";
import { processesWith } from "./found-processes.ts";
import { type RunningFollow, startFollow } from "./running-follow.ts";
import type { NewSide, TwoSides } from "./two-sides.ts";
import type { Writer } from "./writer.ts";

/** What differs between the two kinds of replication. */
export interface KilledStops {
  /** Both hosts; the old one's people write from then on. */
  readonly begin: () => Promise<{ readonly two: TwoSides; readonly place: NewSide; readonly writer: Writer }>;
  /** Resolves when what people write now is in the copy. */
  readonly untilFollows: (
    place: NewSide,
    two: TwoSides,
    running: RunningFollow,
    writer: Writer,
  ) => Promise<void>;
  /** Throws when anything of the copy is left on the new host. */
  readonly nothingIsLeftHere: (place: NewSide) => Promise<void>;
  readonly end: () => Promise<void>;
}

const MOMENTS = 10;

/** Whenever a copy, and its undoing, are killed: nothing of it is left on either host in the end. */
export function testKilledStops({ begin, untilFollows, nothingIsLeftHere, end }: KilledStops): void {
  const seed = Number(process.env["FOLLOW_STOP_SEED"] ?? randomInt(2 ** 31));
  let two: TwoSides;
  let place: NewSide;
  let writer: Writer;
  let untouched: Awaited<ReturnType<TwoSides["traces"]>>;
  /** Milliseconds that each takes when nobody disturbs it. */
  const takes = { follow: 0, stop: 0 };

  before(async () => {
    ({ two, place, writer } = await begin());
    untouched = await two.traces();
  });

  after(async () => {
    await place.close();
    await two.close();
    await end();
  });

  const mustBeUndone = async (): Promise<void> => {
    assert.deepEqual(await two.traces(), untouched);
    await nothingIsLeftHere(place);
    assert.equal(existsSync(join(place.configDir, ".synlift", "follow.json")), false);
    assert.deepEqual(processesWith(place.folder), []);
    assert.deepEqual(processesWith(two.to.ssh.configFile), []);
  };

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
    await untilFollows(place, two, running, writer);
    const refused = await synlift(place.stop);
    assert.notEqual(refused.code, 0, refused.stdout);
    await running.interrupt();
    await synliftWell(place.stop);
    await mustBeUndone();
  });

  for (let moment = 0; moment < MOMENTS; moment += 1) {
    const part = chance(seed + moment)();
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
    writer.nobodyMustBeRefused();
  });
}
