import assert from "node:assert/strict";
import { test } from "node:test";
import { progressJson } from "../../src/report/progress-json.ts";
import { matchesGolden } from "./golden.ts";
import { stage, START } from "./stage.ts";

const media = { id: "export/media", label: "media", unit: "bytes", total: 10_000 } as const;

test("the events of a move are a stable text", () => {
  const { screen, pass, take } = stage();
  const events = progressJson(screen);
  events.begin(media);
  events.remark({ id: "export/config", label: "configuration" }, "already done");
  for (let tenth = 0; tenth < 75; tenth += 1) {
    events.advance(media.id, 100);
    pass(100);
  }
  events.note('a "quoted" path\nand a second line');
  events.end(media.id);
  events.begin({ id: "x", label: "x", unit: "rows" });
  events.outage(START);
  pass(1_500);
  events.outage(undefined);
  events.stop();
  matchesGolden("events.ndjson", take());
});

test("there is at most one progress event a second for each work", () => {
  const { screen, pass, take } = stage();
  const events = progressJson(screen);
  events.begin(media);
  events.begin({ ...media, id: "other" });
  take();
  for (let call = 0; call < 10_000; call += 1) {
    events.advance(media.id, 1);
    events.advance("other", 1);
    pass(1);
  }
  const told = take()
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { id: string }).id);
  for (const id of [media.id, "other"]) {
    const count = told.filter((each) => each === id).length;
    assert.ok(count >= 9 && count <= 10, `${count}`);
  }
});

test("after the stop there is no more progress", () => {
  const { screen, pass, take } = stage();
  const events = progressJson(screen);
  events.begin(media);
  events.stop();
  take();
  pass(5_000);
  events.advance(media.id, 5);
  assert.equal(take(), "");
});

test("a state that lasts is an event every ten seconds", () => {
  const { screen, pass, take } = stage();
  const events = progressJson(screen);
  for (let second = 0; second < 15; second += 1) {
    events.live({ sentence: "behind", details: { lagBytes: second } });
    pass(1000);
  }
  events.stop();
  const told = take()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; details: object });
  assert.deepEqual(
    told.map(({ type, details }) => ({ type, details })),
    [
      { type: "live", details: { lagBytes: 0 } },
      { type: "live", details: { lagBytes: 10 } },
    ],
  );
});
