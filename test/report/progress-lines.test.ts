import assert from "node:assert/strict";
import { test } from "node:test";
import { progressLines } from "../../src/report/progress-lines.ts";
import { matchesGolden } from "./golden.ts";
import { stage, START } from "./stage.ts";

const media = { id: "export/media", label: "media", unit: "bytes", total: 1024 ** 3 } as const;

test("a log gets a line now and then, not a flood", () => {
  const { screen, pass, take } = stage();
  const lines = progressLines(screen);
  lines.begin(media);
  lines.remark({ id: "export/config", label: "configuration" }, "already done");
  for (let second = 0; second < 75; second += 1) {
    if (second === 20) lines.outage(START);
    lines.advance(media.id, 14 * 1024 ** 2);
    pass(1000);
  }
  lines.note("the disk is slow");
  lines.end(media.id);
  lines.outage(undefined);
  lines.stop();
  matchesGolden("lines.txt", take());
});

test("work that hangs goes on telling that it does", () => {
  const { screen, pass, take } = stage();
  const lines = progressLines(screen);
  lines.begin(media);
  pass(45_000);
  assert.deepEqual(take().trimEnd().split("\n"), [
    "media: begins, 1.0 GiB",
    "media: 0%, 0 B / 1.0 GiB, 0 B/s, - left",
    "media: 0%, 0 B / 1.0 GiB, 0 B/s, - left",
  ]);
});

test("without a timer it tells when it is told something", () => {
  const stagehand = stage();
  const { write, clock } = stagehand.screen;
  const lines = progressLines({ write, clock });
  lines.begin({ id: "x", label: "rows of everything", unit: "rows" });
  stagehand.pass(12_000);
  lines.advance("x", 1200);
  assert.equal(
    stagehand.take(),
    "rows of everything: begins\nrows of everything: 1,200 rows, 100 rows/s, for 12 s\n",
  );
});

test("after the stop the timer is gone, and a note still comes through", () => {
  const stagehand = stage();
  const lines = progressLines(stagehand.screen);
  lines.begin(media);
  lines.stop();
  stagehand.pass(60_000);
  lines.note("two\nlines \u001b[2J");
  assert.equal(stagehand.take(), "media: begins, 1.0 GiB\ntwo lines \\u{1b}[2J\n");
  assert.equal(stagehand.timers(), 0);
});

test("a state that lasts for days is told once a minute", () => {
  const { screen, pass, take } = stage();
  const lines = progressLines(screen);
  for (let second = 0; second < 130; second += 1) {
    lines.live({ sentence: `the copy is ${second} B behind`, details: {} });
    pass(1000);
  }
  lines.live(undefined);
  lines.stop();
  assert.equal(take(), "the copy is 0 B behind\nthe copy is 60 B behind\nthe copy is 120 B behind\n");
});
