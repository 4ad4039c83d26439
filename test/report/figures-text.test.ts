import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { barsText } from "../../src/report/bars-text.ts";
import { widthOf } from "../../src/report/cells.ts";
import { runbookText, timelineText } from "../../src/report/runbook-text.ts";
import { sectionText } from "../../src/report/text.ts";
import { matchesGolden } from "./golden.ts";
import { PLAN_PAGE } from "./samples.ts";

const look = (columns: number, colour = false) => ({ columns, colour });

for (const columns of [80, 40]) {
  test(`the figures of a plan read well at ${columns} columns`, () => {
    const { timeline, runbook, bars } = PLAN_PAGE;
    const sections = [
      ...bars.map(({ title, rows }) => sectionText(title, barsText(rows, look(columns)), look(columns))),
      sectionText(timeline!.title, timelineText(timeline!, look(columns)), look(columns)),
      sectionText(runbook!.title, runbookText(runbook!, look(columns)), look(columns)),
    ];
    matchesGolden(`plan-figures-${columns}.txt`, sections.join("\n"));
  });
}

test("colour changes nothing but the colour", () => {
  const { timeline, runbook, bars } = PLAN_PAGE;
  const drawn = (colour: boolean) =>
    [
      barsText(bars[0]!.rows, look(80, colour)),
      timelineText(timeline!, look(80, colour)),
      sectionText(runbook!.title, runbookText(runbook!, look(80, colour)), look(80, colour)),
    ].join("");
  assert.notEqual(drawn(true), drawn(false));
  assert.equal(drawn(true).replace(/\u001b\[[0-9;]*m/g, ""), drawn(false));
});

test("bars are never wider than the terminal, and a little is not nothing", () => {
  const row = fc.record({
    label: fc.string({ unit: "grapheme", maxLength: 60 }),
    value: fc.oneof(fc.double(), fc.nat()),
    text: fc.string({ unit: "grapheme", maxLength: 60 }),
  });
  fc.assert(
    fc.property(fc.array(row, { maxLength: 6 }), fc.integer({ min: 20, max: 140 }), (rows, columns) => {
      for (const line of barsText(rows, look(columns)).split("\n")) assert.ok(widthOf(line) <= columns, line);
    }),
  );
  const small = { label: "small", value: 1, text: "1" };
  assert.match(barsText([{ label: "large", value: 1e9, text: "1e9" }, small], look(80)), /small +1 {2}#\n/);
});

test("a command is one line, however narrow the terminal, and hostile text stays text", () => {
  const command = `synlift ${"--flag /some/long/path ".repeat(9)}--end`;
  const moment = { title: "a\u001b[2Jb", commands: [command, "one \\\n  two"], tone: "no-return" } as const;
  const text = runbookText({ steps: [moment] }, look(40));
  assert.ok(text.includes(`     ${command}\n     one \\\n       two\n`), text);
  assert.ok(text.startsWith("1. a\\u{1b}[2Jb\n   POINT OF NO RETURN\n"), text);
});

test("a section with nothing in it has no title either", () => {
  assert.equal(sectionText("Title", "", look(80)), "");
  assert.equal(sectionText("Title", "words", look(80)), "Title\n-----\nwords\n");
});
