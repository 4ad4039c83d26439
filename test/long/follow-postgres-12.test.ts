import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { EXIT_CODES } from "../../src/errors.ts";
import { mustBeWholeAt } from "../support/follow/moves.ts";
import { olderPrograms } from "../support/follow/older-programs.ts";
import { startFollow, untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides, type NewSide, type TwoSides } from "../support/follow/two-sides.ts";
import type { Writer } from "../support/follow/writer.ts";
import { serverMajors } from "../support/lab/postgres-cluster.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A move from the oldest PostgreSQL that can be followed, which cannot limit a replication slot, so that there is none: a fixed part
// of its log is kept. The tests are its steps, in order.

const LIMIT = { timeout: 600_000 };
const OLDEST = Math.min(...serverMajors());

let two: TwoSides;
let place: NewSide;
let writer: Writer;
let untouched: Awaited<ReturnType<TwoSides["traces"]>>;

const onOld = (sql: string) => two.server.old.cluster.sql("postgres", sql);

before(async () => {
  assert.equal(OLDEST, 12);
  two = await makeTwoSides({ major: OLDEST });
  const { environment } = two.server.old;
  place = await makeNewSide(two.to, { programs: olderPrograms(OLDEST), environment });
  writer = await two.write({ perSecond: 10 });
  untouched = await two.traces();
});

after(async () => {
  await place.close();
  await two.close();
});

test("a copy is made without a slot, and what is kept for it is a fixed part of the log", async () => {
  const dry = await synliftWell([...place.follow, "--dry-run"]);
  assert.match(dry.stdout, /wal_keep_segments/);
  assert.deepEqual(await two.traces(), untouched);
  await synliftWell([...place.follow, "--until-caught-up"]);
  assert.equal(await onOld("select count(*) from pg_replication_slots"), "0");
  assert.ok(Number(await onOld("select setting from pg_settings where name = 'wal_keep_segments'")) > 0);
  const { copy } = resultOf(await synliftWell(place.status)).details as { copy: { slot: string } };
  assert.equal(copy.slot, "none");
});

test("what was made on the old host is taken away, and made again by another copy", async () => {
  await synliftWell(place.stop);
  assert.deepEqual(await two.traces(), untouched);
  await synliftWell([...place.follow, "--until-caught-up"]);
});

test("it goes on after the connection was cut, and after the old PostgreSQL has crashed", async () => {
  const running = startFollow(place);
  await untilFollows(place, await two.position(), running);
  const refused = writer.refusals.length;
  two.to.way.cut();
  await writer.more(20);
  two.to.way.mend();
  await untilFollows(place, await two.position(), running);
  writer.nobodyMustBeRefused(refused);
  const { cluster } = two.server.old;
  await cluster.crash();
  await cluster.startAgain();
  await writer.more(5);
  await untilFollows(place, await two.position(), running);
  const ended = await running.interrupt();
  assert.equal(ended.code, 0, ended.stderr);
});

// One that is not noticed would be waited for, for ever.
test(
  "a copy that is further behind than that part is told as lost, and another one is made",
  LIMIT,
  async () => {
    const kept = await onOld("show wal_keep_segments");
    await onOld("alter system set wal_keep_segments = 0");
    await onOld("select pg_reload_conf()");
    for (let count = 0; count < 8; count += 1) {
      await writer.more(2);
      await onOld("select pg_switch_wal()");
      await onOld("checkpoint");
    }
    await onOld(`alter system set wal_keep_segments = ${kept}`);
    await onOld("select pg_reload_conf()");
    const lost = await synlift([...place.follow, "--until-caught-up"]);
    assert.equal(lost.code, EXIT_CODES["follow-lost"], lost.stderr);
    assert.match(lost.stderr, /--begin-again/);
    await synliftWell([...place.follow, "--begin-again", "--until-caught-up"]);
  },
);

test("the cut-over and the new server have every message, people write in every room, and old devices decrypt", async () => {
  await synliftWell(place.rehearse);
  await synliftWell(place.cutOver);
  await writer.stop();
  assert.equal(await place.sql("select pg_is_in_recovery()"), "f");
  await synliftWell(place.open);
  await mustBeWholeAt(place, two, writer);
});

test("afterwards nothing of it is left on the old host but the fence", async () => {
  await synliftWell(place.stop);
  const fence = { files: [], "settings of roles and databases": [] };
  assert.deepEqual({ ...(await two.traces()), ...fence }, { ...untouched, ...fence });
});
