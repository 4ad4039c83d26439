import assert from "node:assert/strict";
import { test } from "node:test";
import { Interrupted, MigrationError } from "../../src/errors.ts";
import { widthOf } from "../../src/report/cells.ts";
import { failureForFindings } from "../../src/report/accept.ts";
import { errorText, findingsText, findingText } from "../../src/report/text.ts";
import { matchesGolden } from "./golden.ts";
import { FINDINGS, HOSTILE } from "./samples.ts";

const plain = { columns: 80, colour: false };

test("findings read well at 80 columns without colour", () => {
  matchesGolden("findings-80.txt", findingsText(FINDINGS, plain));
});

test("findings read well at 40 columns", () => {
  matchesGolden("findings-40.txt", findingsText(FINDINGS, { columns: 40, colour: false }));
});

test("colour changes nothing but the colour", () => {
  const painted = findingsText(FINDINGS, { columns: 80, colour: true });
  assert.match(painted, /\u001b\[1;31mBLOCKER {2}\u001b\[0m/);
  assert.equal(painted.replace(/\u001b\[[0-9;]*m/g, ""), findingsText(FINDINGS, plain));
});

test("no line is wider than the terminal, but for words that can't be broken", () => {
  for (const line of findingsText(FINDINGS, { columns: 60, colour: false }).split("\n")) {
    if (/\S{40}/.test(line)) continue;
    assert.ok(widthOf(line) <= 60, line);
  }
});

test("hostile text stays text, on its own line", () => {
  matchesGolden("findings-hostile.txt", findingsText([HOSTILE], plain));
});

test("a diff is shown whole, with its own marks", () => {
  const changes = Array.from({ length: 10 }, (_, index) => [
    `- key${index}: old`,
    `+ key${index}: new`,
  ]).flat();
  const text = findingText(
    { id: "rewritten", level: "note", sentence: "a file", evidence: changes, isDiff: true },
    plain,
  );
  assert.deepEqual(
    text
      .split("\n")
      .slice(1, -1)
      .map((line) => line.trim()),
    changes,
  );
});

test("with no findings there is nothing to report", () => {
  assert.equal(findingsText([], plain), "nothing to report\n");
});

test("an error is told with its hint on a line of its own", () => {
  const error = new MigrationError("signing-key-missing", "no signing key at /etc/x.key", {
    hint: "look elsewhere",
  });
  assert.equal(errorText(error, plain), "error: no signing key at /etc/x.key\nhint: look elsewhere\n");
});

test("warnings are an answer and no error, and many of them are not repeated as options", () => {
  const warnings = (count: number) =>
    Array.from({ length: count }, (_, at) => ({
      id: `w${at + 1}`,
      level: "warning" as const,
      sentence: "s",
    }));
  const wide = { ...plain, columns: 200 };
  assert.equal(
    errorText(failureForFindings(warnings(2)), wide),
    "there are warnings that are not accepted: w1, w2\nhint: follow the hints, or accept the warnings: --accept w1 --accept w2\n",
  );
  assert.match(
    errorText(failureForFindings(warnings(10)), wide),
    /: --accept with each one's id, which is in brackets\s+above\n$/,
  );
});

test("being stopped is no error", () => {
  assert.equal(
    errorText(new Interrupted("SIGINT"), plain),
    "stopped by SIGINT; run the same command again to continue\n",
  );
  const left = { state: "the old server was left as it was", hint: "begin again" };
  assert.equal(
    errorText(new Interrupted("SIGTERM", left), plain),
    "stopped by SIGTERM: the old server was left as it was\nhint: begin again\n",
  );
});

test("whatever was thrown can be told", () => {
  assert.equal(errorText("a mere string", plain), "error: a mere string\n");
});
