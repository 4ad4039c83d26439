import assert from "node:assert/strict";
import { test } from "node:test";
import { settledTest } from "../../../src/homeserver/media/export.ts";

const MINUTE = 60_000;
const BEGAN = Date.parse("2026-11-30T02:00:00Z");

test("while the server runs, only files of the last moments are left for the second archive", () => {
  const settled = settledTest(true, BEGAN, { now: () => BEGAN + MINUTE });
  assert.equal(settled(BEGAN - 30 * MINUTE), true);
  assert.equal(settled(BEGAN - 1000), false, "it may still be written");
  assert.equal(settled(BEGAN + 1000), false, "it came while the others were packed");
});

test("files from before the clock was set back are packed while the server runs, and not in the outage", () => {
  const setBack = BEGAN - 365 * 24 * 60 * MINUTE;
  const settled = settledTest(true, setBack, { now: () => setBack + MINUTE });
  assert.equal(settled(BEGAN), true);
  assert.equal(settled(BEGAN - 30 * MINUTE), true);
  assert.equal(settled(setBack + MINUTE), false, "it came now");
});

test("once the server is down, nothing is left for later", () => {
  const settled = settledTest(false, BEGAN, { now: () => BEGAN });
  for (const time of [BEGAN - 1, BEGAN, BEGAN + 1]) assert.equal(settled(time), true);
});
