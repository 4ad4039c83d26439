import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { killAtOnce, untilProcess } from "../support/follow/found-processes.ts";
import { mustBeWholeAt } from "../support/follow/moves.ts";
import { startFollow, untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides, type NewSide, type TwoSides } from "../support/follow/two-sides.ts";
import type { Writer } from "../support/follow/writer.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A move whose database follows the old one, between two hosts over a real sshd, while people write all the time. The
// tests are its steps, in order.

let two: TwoSides;
let place: NewSide;
let writer: Writer;
let untouched: Awaited<ReturnType<TwoSides["traces"]>>;

before(async () => {
  two = await makeTwoSides();
  place = await makeNewSide(two.to);
  writer = await two.write({ perSecond: 20 });
  untouched = await two.traces();
});

after(async () => {
  await place.close();
  await two.close();
});

test("a dry run says what would be changed on the old host, and changes nothing on either", async () => {
  const ran = await synliftWell([...place.follow, "--dry-run"]);
  assert.match(ran.stdout, /max_slot_wal_keep_size/);
  assert.deepEqual(await two.traces(), untouched);
  assert.equal(existsSync(place.data), false);
});

test("a copy follows, also after ssh was killed, and the run after it goes on where it was", async () => {
  const running = startFollow(place);
  await untilFollows(place, await two.position(), running);
  killAtOnce(await untilProcess(`ssh -F ${two.to.ssh.configFile} -N`));
  await writer.more(5);
  await untilFollows(place, await two.position(), running);
  await running.kill();
  await writer.more(5);
  const ran = resultOf(await synliftWell([...place.follow, "--until-caught-up"]));
  assert.equal(ran.findings.filter(({ level }) => level === "blocker").length, 0);
});

test("the cut-over brings everything that was acknowledged, and the old server is fenced", async () => {
  await synliftWell(place.cutOver);
  await writer.stop();
  assert.equal(two.server.systemctl.isActive("old-synapse.service"), false);
  assert.equal(await place.sql("select pg_is_in_recovery()"), "f");
  assert.equal(await place.sql("select count(*) from e2e_one_time_keys_json"), "0");
});

test("the new server has every message, people write in every room, and old devices decrypt", async () => {
  const { findings } = resultOf(await synliftWell(place.open));
  const said = (id: string) => findings.find((one) => one.id === id)?.sentence ?? "";
  assert.match(said("media"), /were compared by hash on .*, before the cut-over; now those that came since/);
  assert.match(said("media-owners"), /those that came since, and others at random, still do/);
  await mustBeWholeAt(place, two, writer);
});

test("a copy that was opened cannot be stopped any more", async () => {
  const ran = await synlift(place.stop);
  assert.ok(existsSync(place.data), `${ran.code ?? "?"}: ${ran.stderr}`);
});
