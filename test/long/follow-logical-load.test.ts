import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { killAtOnce, untilProcess } from "../support/follow/found-processes.ts";
import { mustBeWholeAt } from "../support/follow/moves.ts";
import { startFollow } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides, type NewSide, type TwoSides } from "../support/follow/two-sides.ts";
import type { Writer } from "../support/follow/writer.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { synliftWell } from "../support/synlift.ts";

// A move to a newer PostgreSQL by logical replication, while people write all the time and one thing after the other is killed. The
// tests are its steps, in order.

const TARGET = 16;

let two: TwoSides;
let target: PostgresCluster;
let place: NewSide;
let writer: Writer;

before(async () => {
  two = await makeTwoSides({ settings: { wal_level: "logical" } });
  target = await PostgresCluster.start({ major: TARGET, settings: { synchronous_commit: "on" } });
  place = await makeNewSide(two.to, { target });
  writer = await two.write({ perSecond: 10 });
  // As long as Synapse builds what it has begun with, nothing can follow.
  while ((await two.server.old.cluster.sql("old", "select count(*) from background_updates")) !== "0")
    await wait(200);
});

after(async () => {
  await place.close();
  await target.stop();
  await two.close();
});

/** Waits until a message that is written now is in the copy, too. */
async function goesOn(): Promise<void> {
  await writer.more(3);
  const { eventId } = writer.acknowledged.at(-1)!;
  // A server that was killed answers after a while.
  const has = () =>
    place.sql(`select count(*) from events where event_id = '${eventId}'`).then(
      (count) => count === "1",
      () => false,
    );
  const limit = performance.now() + 120_000;
  while (!(await has())) {
    assert.ok(performance.now() < limit, `${eventId} comes within two minutes`);
    await wait(100);
  }
}

test("a copy is made while people write, and has all of it", async () => {
  const failures = writer.failures;
  await synliftWell([...place.follow, "--until-caught-up"]);
  assert.equal(writer.failures, failures, writer.lastFailure);
  const running = startFollow(place);
  await goesOn();
  await running.interrupt();
});

test("it goes on after the connection was cut, and after SIGKILL for ssh, the apply worker, and either PostgreSQL", async () => {
  const { cluster } = two.server.old;
  const running = startFollow(place);
  await goesOn();
  two.to.way.cut();
  await writer.more(20);
  two.to.way.mend();
  await goesOn();
  killAtOnce(await untilProcess(`ssh -F ${two.to.ssh.configFile} -N`));
  await goesOn();
  killAtOnce(await untilProcess("logical replication", "apply worker"));
  await goesOn();
  await target.crash();
  await target.startAgain();
  await goesOn();
  await cluster.crash();
  await cluster.startAgain();
  await goesOn();
  const ended = await running.interrupt();
  assert.equal(ended.code, 0, ended.stderr);
});

test("the cut-over and the new server have every message, people write in every room, and old devices decrypt", async () => {
  await synliftWell([...place.follow, "--until-caught-up"]);
  await synliftWell(place.cutOver);
  await writer.stop();
  await synliftWell(place.open);
  await mustBeWholeAt(place, two, writer);
  assert.equal(await place.sql("select count(*) from pg_subscription"), "0");
});
