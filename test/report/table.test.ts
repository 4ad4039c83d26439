import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { widthOf } from "../../src/report/cells.ts";
import { type TableColumn, tableText } from "../../src/report/table.ts";
import { matchesGolden } from "./golden.ts";

const COLUMNS: readonly TableColumn[] = [
  { name: "table" },
  { name: "rows", align: "right" },
  { name: "size", align: "right" },
  { name: "what it holds" },
];
const ROWS = [
  ["state_groups_state", "1,234,567", "412 MiB", "which state held at which event; it can be made smaller"],
  ["event_json", "540,444", "233 MiB", "the events themselves"],
  ["日本語の表", "12", "8.0 KiB", "a name that takes two cells a character"],
  ["evil\u001b[2J\nname", "0", "0 B", "photo_\u202egpj.exe"],
  ["short"],
];

const plain = (columns: number) => ({ columns, colour: false });

for (const columns of [120, 80, 60, 40]) {
  test(`a table reads well at ${columns} columns`, () => {
    matchesGolden(`table-${columns}.txt`, tableText(COLUMNS, ROWS, plain(columns)));
  });
}

test("a small table needs no blocks on a narrow terminal", () => {
  const text = tableText(
    [{ name: "kind" }, { name: "size", align: "right" }],
    [["video", "4.1 GiB"]],
    plain(40),
  );
  assert.equal(text, "kind      size\n-----  -------\nvideo  4.1 GiB\n");
});

test("colour changes nothing but the colour", () => {
  for (const columns of [80, 40]) {
    const painted = tableText(COLUMNS, ROWS, { columns, colour: true });
    assert.match(painted, /\u001b\[1m/);
    assert.equal(painted.replace(/\u001b\[[0-9;]*m/g, ""), tableText(COLUMNS, ROWS, plain(columns)));
  }
});

test("without rows there is the head alone, and without columns nothing", () => {
  assert.equal(tableText([{ name: "a" }], [], plain(80)), "a\n-\n");
  assert.equal(tableText([], [[]], plain(80)).trim(), "");
});

test("no line is too wide, no line ends in a space, and no number is shortened", () => {
  const cell = fc.string({ unit: "grapheme", maxLength: 40 });
  const number = fc.nat().map(String);
  const rows = fc.array(fc.tuple(cell, number, cell, number), { minLength: 1, maxLength: 5 });
  const columns: TableColumn[] = [
    { name: "first" },
    { name: "n", align: "right" },
    { name: "a much longer name than most" },
    { name: "m", align: "right" },
  ];
  fc.assert(
    fc.property(rows, fc.integer({ min: 20, max: 120 }), (given, width) => {
      const text = tableText(columns, given, plain(width));
      for (const line of text.split("\n")) {
        assert.doesNotMatch(line, / $/);
        assert.ok(widthOf(line) <= width || !line.trim().includes(" "), line);
      }
      for (const [, n, , m] of given) for (const figure of [n, m]) assert.ok(text.includes(figure), figure);
    }),
  );
});
