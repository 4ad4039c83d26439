import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Ages, MAXIMUM } from "../../../../src/homeserver/media/figures/age.ts";

const NOW = Date.UTC(2026, 4, 20);
const dayOf = (date: string) => Date.parse(date) / 86_400_000;

function columns(dates: readonly string[], now = NOW) {
  const ages = new Ages();
  for (const date of dates)
    ages.add("local", { day: date === "" ? -1 : Math.floor(dayOf(date)), files: 1, bytes: 10 });
  return ages.columns(now).map(({ period, local }) => `${period}: ${local.files}`);
}

test("media of the last two years is told by month, without gaps, up to the present", () => {
  assert.deepEqual(columns(["2026-02-01", "2026-02-28", "2026-04-30"]), [
    "2026-02: 2",
    "2026-03: 0",
    "2026-04: 1",
    "2026-05: 0",
  ]);
  const months = columns(["2024-07-01"]);
  assert.deepEqual([months.length, months[0], months.at(-1)], [23, "2024-07: 1", "2026-05: 0"]);
});

test("where there is older media, the last year is told by month and the rest by year", () => {
  const told = columns(["2022-12-31", "2024-06-30", "2025-05-31", "2025-06-01"]);
  assert.deepEqual(told.slice(0, 5), ["2022: 1", "2023: 0", "2024: 1", "2025: 1", "2025-06: 1"]);
  assert.equal(told.length, 16);
  assert.deepEqual(columns(["2020-12-31"], Date.UTC(2026, 11, 31)).slice(4, 7), [
    "2024: 0",
    "2025: 0",
    "2026-01: 0",
  ]);
});

test("what is older than there are columns, in the future, or without a date finds its column", () => {
  const told = columns(["2003-01-01", "2031-01-01", "", "2015-03-01"]);
  assert.equal(told.length, MAXIMUM);
  assert.deepEqual([told[0], told[1], told.at(-1)], [": 1", "2015: 2", "2026-05: 1"]);
  assert.deepEqual(columns([]), []);
  assert.deepEqual(columns([""]), [": 1", "2026-05: 0"]);
});

test("whatever the dates, nothing is lost and the columns have room", () => {
  const days = fc.array(fc.integer({ min: -1, max: 47_000 }), { maxLength: 50 });
  fc.assert(
    fc.property(days, fc.integer({ min: NOW, max: NOW * 2 }), (all, now) => {
      const ages = new Ages();
      for (const day of all) ages.add("remote", { day, files: 1, bytes: day + 1 });
      const told = ages.columns(now);
      assert.ok(told.length <= MAXIMUM);
      assert.equal(
        told.reduce((sum, { remote }) => sum + remote.files, 0),
        all.length,
      );
      const periods = told.map(({ period }) => period);
      assert.deepEqual(periods, [...new Set(periods)].sort());
    }),
    { numRuns: 200 },
  );
});
