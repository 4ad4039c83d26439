import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { barLines } from "../../src/report/bar-lines.ts";
import { widthOf } from "../../src/report/cells.ts";
import { progressBars } from "../../src/report/progress-bars.ts";
import { matchesGolden } from "./golden.ts";
import { shown, stage, START } from "./stage.ts";

const MIB = 1024 ** 2;
const media = { id: "export/media", label: "media", unit: "bytes", total: 2700 * MIB } as const;
const database = { id: "export/database", label: "database", unit: "rows" } as const;

/** Two works side by side, a note, a remark, an outage: everything that can be seen. */
function move(columns: number): string {
  const { screen, pass, take } = stage(columns);
  const bars = progressBars(screen);
  let bytes = "";
  const frames: string[] = [];
  const look = (when: string) => frames.push(`--- ${when}\n${shown((bytes += take()))}`);
  const run = (seconds: number, rates: Readonly<Record<string, number>>) => {
    for (let tenth = 0; tenth < seconds * 10; tenth += 1) {
      for (const [id, rate] of Object.entries(rates)) bars.advance(id, rate / 10);
      pass(100);
    }
  };

  bars.begin(media);
  look("at once");
  run(4, { [media.id]: 212 * MIB });
  look("after 4 s, too early to tell the time left");
  bars.remark({ id: "export/config", label: "configuration" }, "already done");
  bars.begin(database);
  run(5, { [media.id]: 212 * MIB, [database.id]: 12_345 });
  look("after 9 s");
  bars.note(`writes to ${"/a/long/path".repeat(4)} are slow: the disk below it is busy with something else`);
  bars.end(media.id);
  bars.outage(START + 9_000);
  run(42, { [database.id]: 800 });
  look("42 s into the outage");
  bars.end(database.id);
  bars.outage(undefined);
  bars.stop();
  look("stopped");
  return frames.join("\n");
}

test("the bars read well at 80 columns", () => {
  matchesGolden("bars-80.txt", move(80));
});

test("the bars read well at 40 columns", () => {
  matchesGolden("bars-40.txt", move(40));
});

test("the bars use the room of a wide window", () => {
  matchesGolden("bars-120.txt", move(120));
});

test("however often something moves, it is drawn at most ten times a second", () => {
  const { screen, pass, take } = stage();
  const bars = progressBars(screen);
  bars.begin(media);
  take();
  let draws = 0;
  for (let call = 0; call < 10_000; call += 1) {
    bars.advance(media.id, 1000);
    if (take() !== "") draws += 1;
    pass(0.1);
  }
  assert.ok(draws >= 7 && draws <= 10, `${draws}`);
});

test("no running line is ever as wide as the window", () => {
  const amount = fc.double({ min: 0, max: 1e14, noNaN: true });
  const work = fc.record({
    work: fc.record(
      {
        id: fc.string(),
        label: fc.string({ unit: "grapheme" }),
        unit: fc.constantFrom("bytes", "files", "rows"),
        total: amount,
      },
      { requiredKeys: ["id", "label", "unit"] },
    ),
    done: amount,
    seconds: amount,
    rate: fc.option(amount, { nil: undefined }),
    remaining: fc.option(amount, { nil: undefined }),
    meanRate: fc.constant(undefined),
  });
  fc.assert(
    fc.property(fc.array(work, { maxLength: 4 }), fc.integer({ min: 1, max: 200 }), (works, width) => {
      for (const { text, cells } of barLines(works, width, false)) {
        assert.ok(widthOf(text) <= width, text);
        assert.equal(cells, widthOf(text));
      }
    }),
  );
});

test("a failure half way leaves a clean terminal and no timer", () => {
  const { screen, pass, take, timers } = stage();
  const bars = progressBars(screen);
  bars.begin(media);
  bars.outage(START);
  pass(3_000);
  bars.stop();
  bars.stop();
  bars.advance(media.id, MIB);
  pass(3_000);
  assert.equal(shown(take()), "");
  assert.equal(timers(), 0);
});

test("after the stop nothing is drawn any more, but a note still comes through", () => {
  const stagehand = stage();
  const bars = progressBars(stagehand.screen);
  bars.begin(media);
  bars.stop();
  assert.equal(stagehand.timers(), 0);
  bars.note("the lock was given back");
  bars.begin(database);
  assert.equal(shown(stagehand.take()), "the lock was given back\n");
});

test("the outage clock runs while nothing else happens", () => {
  const { screen, pass, take } = stage();
  const bars = progressBars(screen);
  bars.outage(START - 60_000);
  pass(42_000);
  assert.equal(shown(take()), "outage so far 1 min 42 s\n");
});

test("a window that gets narrower is wiped of what its lines became", () => {
  const { screen, pass, resize, take } = stage(80);
  const bars = progressBars(screen);
  bars.begin(media);
  take();
  resize(40);
  pass(1_000);
  // A line of 79 cells became two of 40: two up, not one.
  assert.match(take(), /^\u001b\[2A\r\u001b\[2K\n\u001b\[2K\n\u001b\[2A\r/);
});

test("of many works the first are shown and the rest counted", () => {
  const { screen, take } = stage(60);
  const bars = progressBars(screen);
  for (let index = 1; index <= 12; index += 1)
    bars.begin({ ...media, id: `${index}`, label: `part ${index}` });
  const lines = shown(take()).trimEnd().split("\n");
  assert.equal(lines.length, 8);
  assert.equal(lines[7], "… and 5 more");
});

test("in a window of four lines two works at most are shown beside the outage clock", () => {
  const { screen, take } = stage(60);
  const bars = progressBars({ ...screen, rows: () => 4 });
  bars.outage(START);
  for (let index = 1; index <= 3; index += 1)
    bars.begin({ ...media, id: `${index}`, label: `part ${index}` });
  const lines = shown(take()).trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => line.slice(0, 6)),
    ["part 1", "… and ", "outage"],
  );
});

test("a label from outside can't command the terminal", () => {
  const { screen, take } = stage();
  const bars = progressBars(screen);
  bars.begin({ ...media, label: "a\u001b[2Jb" });
  bars.note("\u001b]0;title\u0007");
  assert.match(shown(take()), /a\\u\{1b\}\[2Jb/);
});

test("an id that never began disturbs nothing", () => {
  const { screen, take } = stage();
  const bars = progressBars(screen);
  bars.advance("nobody", 5);
  bars.end("nobody");
  assert.equal(take(), "");
});

test("a state is one line that is replaced, below what runs and above the outage, and leaves nothing", () => {
  const { screen, pass, take } = stage(40);
  const bars = progressBars(screen);
  let bytes = "";
  bars.live({ sentence: "the copy is 3.0 MiB behind", details: {} });
  pass(1000);
  bars.live({ sentence: `the copy has everything\u001b[2J ${"x".repeat(60)}`, details: {} });
  bars.note("the connection was lost");
  bars.outage(START);
  const lines = shown((bytes += take())).split("\n");
  assert.equal(lines[0], "the connection was lost");
  assert.match(lines[1]!, /^the copy has everything/);
  assert.ok(widthOf(lines[1]!) < 40);
  assert.match(lines[2]!, /outage/);
  bars.outage(undefined);
  bars.live(undefined);
  bars.stop();
  assert.doesNotMatch(shown((bytes += take())), /the copy/);
});
