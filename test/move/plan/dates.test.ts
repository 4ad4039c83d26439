import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDate, parseDate, roundedUp } from "../../../src/move/plan/dates.ts";

test("a date is read as a person writes it, in UTC unless they say otherwise", () => {
  const two = Date.UTC(2026, 11, 1, 2);
  for (const text of [
    "2026-12-01 02:00",
    "2026-12-01 02:00 UTC",
    "2026-12-01T02:00Z",
    "2026-12-01 03:00 +01:00",
    "2026-12-01 01:00-0100",
    " 2026-12-01 02:00:00 UTC ",
  ])
    assert.equal(parseDate(text), two, text);
  assert.equal(parseDate("2026-12-01"), Date.UTC(2026, 11, 1));
  assert.equal(formatDate(two), "Tuesday 2026-12-01 02:00 UTC");
});

test("what is no date is refused, and not bent into another one", () => {
  for (const text of [
    "tomorrow",
    "2026-02-30 10:00",
    "2026-13-01",
    "2026-12-01 25:00",
    "1.12.2026",
    "",
    "2026-12-01 02:00 CET",
  ])
    assert.throws(() => parseDate(text), { code: "bad-usage" }, text);
});

test("a time that is told is a full quarter of an hour, and never before the one that was meant", () => {
  assert.equal(roundedUp(Date.UTC(2026, 0, 1, 2, 0, 0)), Date.UTC(2026, 0, 1, 2, 0, 0));
  assert.equal(roundedUp(Date.UTC(2026, 0, 1, 2, 0, 1)), Date.UTC(2026, 0, 1, 2, 15, 0));
});
