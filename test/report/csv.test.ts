import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { csvText } from "../../src/report/csv.ts";

/** Reads what RFC 4180 allows, and throws at anything else. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  let at = 0;
  while (at < text.length) {
    const row: string[] = [];
    for (;;) {
      const field = /^"((?:[^"]|"")*)"|^[^",\r\n]*/.exec(text.slice(at))!;
      row.push(field[1] === undefined ? field[0] : field[1].replaceAll('""', '"'));
      at += field[0].length;
      if (text[at] !== ",") break;
      at += 1;
    }
    assert.equal(text.slice(at, at + 2), "\r\n", `no end of line at ${at}`);
    at += 2;
    rows.push(row);
  }
  return rows;
}

test("a plain table is plain text", () => {
  assert.equal(
    csvText(
      ["user", "sessions"],
      [
        ["alice", 3],
        ['the "best", they say', -1.5],
        ["", NaN],
      ],
    ),
    'user,sessions\r\nalice,3\r\n"the ""best"", they say",-1.5\r\n,\r\n',
  );
});

test("what a spreadsheet would run is made a text", () => {
  const formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =cmd|' /C calc'!A0", "＝1+1"];
  const cells = readCsv(
    csvText(
      ["h"],
      formulas.map((formula) => [formula]),
    ),
  )
    .slice(1)
    .flat();
  assert.deepEqual(
    cells,
    formulas.map((formula) => `'${formula}`),
  );
  assert.equal(csvText(["-h"], []), "'-h\r\n");
  for (const harmless of ["a=1", "1-2", "'=1", "alice@example.org", "–"])
    assert.equal(csvText([harmless], []), `${harmless}\r\n`);
});

test("a standard reader gets every cell back, and none that could be run", () => {
  const cell = fc.oneof(
    fc.string({ unit: fc.constantFrom(",", '"', "\r", "\n", "\t", " ", "=", "-", "+", "@", "'", "a", "é") }),
    fc.string({ unit: "grapheme" }),
    fc.double(),
  );
  const table = fc.integer({ min: 1, max: 4 }).chain((width) => {
    const row = fc.array(cell, { minLength: width, maxLength: width });
    return fc.array(row, { minLength: 1, maxLength: 5 });
  });
  fc.assert(
    fc.property(table, (rows) => {
      const back = readCsv(csvText(["h"], rows)).slice(1);
      assert.equal(back.length, rows.length);
      for (const [index, row] of rows.entries()) {
        assert.equal(back[index]!.length, row.length);
        for (const [place, given] of row.entries()) {
          const read = back[index]![place]!;
          if (typeof given === "number") {
            assert.equal(read === "" ? NaN : Number(read), Number.isFinite(given) ? given + 0 : NaN);
          } else {
            assert.ok(read === given || read === `'${given}`, JSON.stringify({ given, read }));
            assert.doesNotMatch(read, /^[\t\r\n]|^\s*[=+\-@]/);
          }
        }
      }
    }),
    { numRuns: 300 },
  );
});
