import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { estimateMove, type Load, type Rates } from "../../../src/move/outage/estimate.ts";
import { contributors, savedByIgzip, savings } from "../../../src/move/outage/savings.ts";

const pace = { packing: 50e6, readingBack: 100e6, secondsPerArtifact: 0.5, ratio: 0.3 };
const RATES: Rates = {
  reading: 150e6,
  database: pace,
  media: { ...pace, packing: 100e6, ratio: 1 },
  link: 12.5e6,
};
const LOAD: Load = { dumpBytes: 1e9, databaseBytes: 2e9, mediaBytes: 5e9, mediaFiles: 10_000 };

const secondsOf = (load: Load, rates: Rates, id: string) =>
  estimateMove(load, rates).outage.find((stage) => stage.id === id)!.seconds;

test("the slowest of reading, packing and reading back sets the pace, and two cores do no more than two cores' work", () => {
  assert.equal(secondsOf(LOAD, RATES, "database"), 1e9 / 50e6 + 0.5);
  assert.equal(secondsOf(LOAD, { ...RATES, reading: 10e6 }, "database"), 1e9 / 10e6 + 0.5);
  const even = { ...RATES, reading: 50e6, database: { ...pace, readingBack: 50e6 } };
  assert.equal(secondsOf(LOAD, even, "database"), (3 * 1e9) / 50e6 / 2 + 0.5);
});

test("the transfer time depends on the size of the bundle", () => {
  const { bundleBytes } = estimateMove(LOAD, RATES);
  assert.ok(Math.abs(bundleBytes - (0.3e9 + 5e9)) < 0.02e9);
  assert.equal(secondsOf(LOAD, RATES, "transfer"), bundleBytes / 12.5e6);
});

test("more is never quicker, and every stage is a number of seconds", () => {
  const bytes = fc.double({ min: 0, max: 1e13, noNaN: true });
  fc.assert(
    fc.property(
      bytes,
      bytes,
      bytes,
      fc.nat({ max: 1e7 }),
      (dumpBytes, databaseBytes, mediaBytes, mediaFiles) => {
        const small = estimateMove({ dumpBytes, databaseBytes, mediaBytes, mediaFiles }, RATES);
        const large = estimateMove(
          { dumpBytes: dumpBytes * 2, databaseBytes, mediaBytes: mediaBytes * 2, mediaFiles },
          RATES,
        );
        assert.ok(small.outageSeconds > 0 && Number.isFinite(small.outageSeconds));
        assert.ok(large.outageSeconds >= small.outageSeconds);
        for (const { seconds } of small.outage) assert.ok(seconds >= 0);
        const sum = small.outage.reduce((total, { seconds }) => total + seconds, 0);
        assert.ok(Math.abs(sum - small.outageSeconds) <= sum * 1e-9);
      },
    ),
  );
});

test("what would shorten it is told with the seconds that it saves, the greatest first", () => {
  const byTable = new Map([
    ["state_groups_state", 0.8e9],
    ["events", 0.1e9],
  ]);
  const found = savings(LOAD, RATES, byTable);
  const now = estimateMove(LOAD, RATES).outageSeconds;
  assert.deepEqual(
    found.map(({ seconds }) => seconds),
    found.map(({ seconds }) => seconds).toSorted((a, b) => b - a),
  );
  const link = found.find(({ id }) => id === "faster-link")!;
  assert.ok(
    Math.abs(link.seconds - (now - estimateMove(LOAD, { ...RATES, link: 25e6 }).outageSeconds)) < 1e-9,
  );
  const state = found.find(({ id }) => id === "compress-state")!;
  assert.ok(state.seconds > 0 && state.seconds < now);
  assert.ok(
    !found.some(({ id }) => id === "received-transactions"),
    "a table that is not there saves nothing",
  );
});

test("nothing is told to save what is below a second", () => {
  const little: Load = { dumpBytes: 1e6, databaseBytes: 2e6, mediaBytes: 1e6, mediaFiles: 3 };
  assert.deepEqual(savings(little, RATES, new Map([["state_groups_state", 9e5]])), []);
});

test("the longest stages come with their share", () => {
  const [first] = contributors(estimateMove(LOAD, RATES), 3);
  assert.match(first!, /^copy the bundle to the new host: .*, \d+ %$/);
});

test("what igzip would save is no more than compressing takes, and nothing where the database is the limit", () => {
  const packing = 1e9 / 50e6;
  const saved = savedByIgzip(LOAD, RATES, 2);
  assert.ok(saved > 0 && saved < packing, `${saved}`);
  assert.equal(savedByIgzip(LOAD, { ...RATES, reading: 1e6 }, 2), 0);
  assert.equal(savedByIgzip(LOAD, RATES, 64), 0, "so many cores are as fast without it");
});
