import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RunningTasks } from "../../src/report/running-tasks.ts";

const media = { id: "export/media", label: "media", unit: "bytes", total: 1000 } as const;

test("what is done only grows, whatever is handed in", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.double(), fc.integer())), (steps) => {
      const works = new RunningTasks(() => 0);
      works.begin(media);
      let before = 0;
      for (const units of steps) {
        works.advance(media.id, units);
        const { done } = works.find(media.id)!;
        assert.ok(done >= before);
        before = done;
      }
    }),
  );
});

test("a total that was passed leaves the time left unknown", () => {
  let now = 0;
  const works = new RunningTasks(() => now);
  works.begin(media);
  works.advance(media.id, 900);
  now = 9_000;
  assert.equal(works.find(media.id)?.remaining, 1);
  works.advance(media.id, 200);
  assert.equal(works.find(media.id)?.remaining, undefined);
});

test("an id that never began is taken no notice of", () => {
  const works = new RunningTasks(() => 0);
  assert.equal(works.advance("nobody", 5), false);
  assert.equal(works.end("nobody"), undefined);
});

test("a work that begins again begins at nothing", () => {
  const works = new RunningTasks(() => 0);
  works.begin(media);
  works.advance(media.id, 500);
  assert.equal(works.begin(media).done, 0);
  assert.equal(works.size, 1);
});
