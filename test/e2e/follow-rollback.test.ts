import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { EXIT_CODES } from "../../src/errors.ts";
import { killAtOnce, processesWith } from "../support/follow/found-processes.ts";
import { mustBeWholeAt } from "../support/follow/moves.ts";
import { startFollow, untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides, type NewSide, type TwoSides } from "../support/follow/two-sides.ts";
import type { Writer } from "../support/follow/writer.ts";
import { until } from "../support/processes.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";
import { UNIT } from "../support/unit-server.ts";

// A move whose database follows, rolled back on the old host at each stage, by somebody who does not know what runs on the new one. The
// tests are its steps, in order.

let two: TwoSides;
let place: NewSide;
let writer: Writer;

before(async () => {
  two = await makeTwoSides();
  place = await makeNewSide(two.to);
  writer = await two.write({ perSecond: 5 });
});

after(async () => {
  await place.close();
  await two.close();
});

const rollBack = (...more: string[]) =>
  synliftWell(["rollback", "--out", two.to.exportFolder, "--yes", "--json", ...more], two.server);
const here = (...words: string[]) => [...words, "--config-dir", place.configDir];
const state = () => readFileSync(join(place.configDir, ".synlift", "follow.json"), "utf8");

test("a rollback while a copy follows ends that run, which says so; its status and the next run say it, too", async () => {
  const running = startFollow(place);
  await untilFollows(place, await two.position(), running);
  await rollBack();
  const { code, stderr } = await running.ended;
  assert.equal(code, EXIT_CODES["follow-lost"], stderr);
  assert.match(
    stderr,
    /the copy was ended on the old host on \d{4}-.*role synlift_follow and replication slot/,
  );
  const status = await synlift(place.status);
  assert.equal(status.code, EXIT_CODES["follow-lost"], status.stderr);
  assert.match(status.stderr, /was ended on the old host on/);
  assert.deepEqual(
    resultOf(status).findings.filter(({ id }) => id === "follow-not-running"),
    [],
  );
  const again = await synlift(here("follow"));
  assert.equal(again.code, EXIT_CODES["follow-lost"], again.stderr);
  const pulled = await synlift(place.cutOver);
  assert.equal(pulled.code, EXIT_CODES["follow-lost"], pulled.stderr);
  assert.match(pulled.stderr, /the copy was ended on the old host/);
});

test("it begins again as that says, and a rollback while nobody follows is found by whoever goes on", async () => {
  await synliftWell(here("follow", "--begin-again", "--yes", "--until-caught-up", "--checkpoint", "fast"));
  await rollBack("--only-follow");
  for (const command of [place.status, place.cutOver, here("follow")]) {
    const ran = await synlift(command);
    assert.equal(ran.code, EXIT_CODES["follow-lost"], `${command[0]!}: ${ran.stderr}`);
    assert.match(ran.stderr, /was ended on the old host/);
    if (command === place.status) assert.match(state(), /"stage": "following"/, "a look changes nothing");
  }
  assert.equal(two.server.systemctl.isActive(UNIT), true);
});

test("rolled back after the cut-over, open refuses, and the old host says what is right for a copy", async () => {
  await synliftWell(here("follow", "--begin-again", "--yes", "--until-caught-up", "--checkpoint", "fast"));
  await synliftWell(place.cutOver);
  const dry = [...place.open, "--dry-run"];
  const before = resultOf(await synliftWell(dry)).findings.find(({ id }) => id === "old-server");
  assert.equal(before?.level, "ok", before?.sentence);
  const text = await synliftWell(["rollback", "--out", two.to.exportFolder, "--yes"], two.server);
  assert.match(
    text.stdout,
    /must not be opened\n.*the copy on the new host follows no more.*synlift follow stop.*pull --followed/s,
  );
  await two.server.untilAnswers();
  const refused = await synlift(place.open);
  assert.equal(refused.code, EXIT_CODES["gate-failed"], refused.stderr);
  const [finding] = resultOf(refused).findings.filter(({ level }) => level === "blocker");
  assert.ok(finding);
  assert.equal(finding.id, "old-server");
  assert.match(finding.sentence, /runs on its old host: the move was rolled back there/);
  assert.match(finding.hint ?? "", /synlift follow stop/);
  const again = await synlift(place.cutOver);
  assert.equal(again.code, EXIT_CODES["follow-lost"], again.stderr);
  assert.match(again.stderr, /synlift follow stop says what is left here/);
});

test("to begin again in the place of a database that was cut over is refused, and nothing is forgotten", async () => {
  const known = state();
  for (const more of [["--dry-run"], ["--yes"]]) {
    const ran = await synlift(here("follow", "--begin-again", "--json", ...more));
    assert.equal(ran.code, EXIT_CODES["target-not-empty"], ran.stderr);
    assert.match(ran.stderr, /was cut over: synlift does not delete it/);
  }
  assert.equal(state(), known);
});

test("what the old host said leads to an open server with everything that was written", async () => {
  await synliftWell(place.stop);
  assert.ok(existsSync(join(place.data, "PG_VERSION")), "a promoted database stays");
  for (const found of processesWith(place.data)) killAtOnce(found);
  await until("the promoted server is gone", () => processesWith(place.data).length === 0, 30);
  rmSync(place.data, { recursive: true });
  // The media are here, and stay; pull compares them.
  const again = place.follow.filter((word) => word !== "--media-dir" && word !== place.mediaDir);
  await synliftWell([...again, "--without-media", "--until-caught-up"]);
  await writer.more(5);
  await synliftWell(place.cutOver);
  await writer.stop();
  await synliftWell(place.open);
  await mustBeWholeAt(place, two, writer);
});
