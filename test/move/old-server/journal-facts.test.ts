import assert from "node:assert/strict";
import { test } from "node:test";
import { OUTAGE_BOOT, OUTAGE_SINCE, outageSeconds } from "../../../src/move/old-server/journal-facts.ts";

const SINCE = "2026-12-01T02:00:00.000Z";
const boot = "9d2b6a5e-0000-4000-8000-000000000001";
const began = { [OUTAGE_SINCE]: SINCE, [OUTAGE_BOOT]: JSON.stringify({ boot, milliseconds: 5_000 }) };
const machine = (now: string, since?: { boot: string; milliseconds: number }) => ({
  now: () => Date.parse(now),
  sinceBoot: () => since,
});

test("an outage is as long as it was, also when the clock is set back or forward meanwhile", () => {
  for (const now of ["2026-12-01T00:00:00Z", "2026-12-01T02:01:30Z", "2027-06-01T00:00:00Z"])
    assert.equal(outageSeconds({ facts: began }, machine(now, { boot, milliseconds: 95_000 })), 90);
});

test("after a reboot the clock is all there is, and it is never less than nothing", () => {
  const rebooted = { boot: "9d2b6a5e-0000-4000-8000-000000000002", milliseconds: 1_000 };
  assert.equal(outageSeconds({ facts: began }, machine("2026-12-01T02:01:30Z", rebooted)), 90);
  assert.equal(outageSeconds({ facts: began }, machine("2026-12-01T01:00:00Z", rebooted)), 0);
  assert.equal(outageSeconds({ facts: { [OUTAGE_SINCE]: SINCE } }, machine("2026-12-01T02:01:30Z")), 90);
  const damaged = { [OUTAGE_SINCE]: SINCE, [OUTAGE_BOOT]: "{" };
  assert.equal(outageSeconds({ facts: damaged }, machine("2026-12-01T02:01:30Z", rebooted)), 90);
});

test("without an outage there is no length", () => {
  assert.equal(outageSeconds({ facts: {} }, machine("2026-12-01T02:01:30Z")), undefined);
});
