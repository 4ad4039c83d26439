import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { formatShellCommand, quoteShellWord, splitShellWords } from "../../src/system/shell-quoting.ts";

const readBack = (command: string) =>
  execFileSync("sh", ["-c", `for word in ${command}; do printf '%s\\0' "$word"; done`], { encoding: "utf8" })
    .split("\0")
    .slice(0, -1);

test("a word that needs no quotes has none, so that commands stay readable", () => {
  for (const word of ["/etc/matrix-synapse/homeserver.yaml", "root@new.example.org", "--out", "a=b,c"])
    assert.equal(quoteShellWord(word), word);
  assert.equal(quoteShellWord(""), "''");
  assert.equal(quoteShellWord("it's"), `'it'\\''s'`);
});

test("a shell reads back what was written, whatever is in it, also where it was folded", () => {
  const word = fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => !text.includes("\0"));
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 12 }), (words) => {
      assert.deepEqual(readBack(formatShellCommand(words.map(quoteShellWord), 40)), words);
    }),
    { numRuns: 60 },
  );
});

test("a long command is folded before its options, each with its value beside it", () => {
  const words = [
    "synlift",
    "restore",
    "/srv/move",
    "--passphrase-file",
    "/root/move.passphrase",
    "--dry-run",
  ];
  assert.equal(formatShellCommand(words, 100), words.join(" "));
  assert.equal(
    formatShellCommand(words, 40),
    "synlift restore /srv/move \\\n  --passphrase-file /root/move.passphrase \\\n  --dry-run",
  );
});

test("words are taken apart as a shell would take them apart, and nothing is run or filled in", () => {
  const word = fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => !text.includes("\0"));
  fc.assert(
    fc.property(fc.array(word, { maxLength: 12 }), (words) => {
      assert.deepEqual(splitShellWords(words.map(quoteShellWord).join(" ")), words);
    }),
  );
  assert.deepEqual(splitShellWords(` docker exec  -i "my \\"db\\"" a\\ b'c d'$(touch x)\n`), [
    ...["docker", "exec", "-i", 'my "db"', "a bc d$(touch", "x)"],
  ]);
  for (const open of ["'", 'a "b', "end \\"]) assert.equal(splitShellWords(open), undefined);
});
