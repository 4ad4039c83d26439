import assert from "node:assert/strict";
import { test } from "node:test";
import { Interrupted, MigrationError } from "../../src/errors.ts";
import { errorJson, findingJson, jsonLine, resultJson } from "../../src/report/json.ts";
import { FINDINGS } from "./samples.ts";

test("a finding has every field, also the empty ones", () => {
  assert.deepEqual(findingJson({ id: "a", level: "ok", sentence: "fine" }), {
    id: "a",
    level: "ok",
    sentence: "fine",
    evidence: [],
    hint: null,
  });
});

test("a result tells how it ended, the gravest level and how many there are of each", () => {
  const { findings, ...rest } = resultJson({
    command: "plan",
    exitCode: 0,
    findings: FINDINGS,
    details: { rooms: 7 },
  });
  assert.deepEqual(rest, {
    type: "result",
    command: "plan",
    exitCode: 0,
    level: "blocker",
    counts: { ok: 2, note: 1, warning: 1, blocker: 1 },
    details: { rooms: 7 },
  });
  assert.deepEqual(
    findings.map(({ id }) => id),
    FINDINGS.map(({ id }) => id),
  );
});

test("a foreseen failure has its code, its hint and its exit code", () => {
  const error = new MigrationError("signing-key-missing", "no key", { hint: "look" });
  assert.deepEqual(errorJson(error, Date.UTC(2026, 8, 1)), {
    type: "error",
    time: "2026-09-01T00:00:00.000Z",
    code: "signing-key-missing",
    message: "no key",
    hint: "look",
    exitCode: 11,
  });
});

test("an interruption and an unexpected error have codes of their own", () => {
  assert.deepEqual(
    [new Interrupted("SIGTERM"), new TypeError("oh"), "thrown"].map((thrown) => {
      const { code, exitCode } = errorJson(thrown, 0);
      return [code, exitCode];
    }),
    [
      ["interrupted", 143],
      ["unexpected", 1],
      ["unexpected", 1],
    ],
  );
});

test("one object is one line, whatever is in it", () => {
  const line = jsonLine({ type: "note", sentence: "two\nlines \u2028 \ud800", rate: NaN });
  assert.equal(line.indexOf("\n"), line.length - 1);
  assert.deepEqual(JSON.parse(line), { type: "note", sentence: "two\nlines \u2028 \ud800", rate: null });
});
