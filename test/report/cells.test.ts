import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escapeControls, pad, truncate, widthOf, wrap } from "../../src/report/cells.ts";

test("a text from outside can't command the terminal or hide what it says", () => {
  assert.equal(escapeControls("a\u001b[2Jb\u0007"), "a\\u{1b}[2Jb\\u{7}");
  assert.equal(escapeControls("photo_\u202egpj.exe"), "photo_\\u{202e}gpj.exe");
  assert.equal(escapeControls("two\r\nlines\tand a tab"), "two lines and a tab");
  assert.equal(escapeControls("half \ud83d of a pair"), "half \\u{d83d} of a pair");
});

test("letters of all kinds stay as they are", () => {
  const text = "žluťoučký עברית 日本語 👩‍💻";
  assert.equal(escapeControls(text), text);
});

test("wide characters take two cells, marks none", () => {
  assert.equal(widthOf("abc"), 3);
  assert.equal(widthOf("日本語"), 6);
  assert.equal(widthOf("e\u0301"), 1);
  assert.equal(widthOf("👩‍💻"), 2);
});

test("what does not fit ends in an ellipsis", () => {
  assert.equal(truncate("customer_db_export", 10), "customer_…");
  assert.equal(truncate("日本語日本語", 6), "日本…");
  assert.equal(truncate("ten cells.", 10), "ten cells.");
});

test("padding counts cells", () => {
  assert.equal(pad("日本", 6), "日本  ");
  assert.equal(pad("45%", 5, "left"), "  45%");
});

test("text breaks between words, and a long path stays in one piece", () => {
  assert.deepEqual(wrap("no signing key at /etc/matrix-synapse/a-very-long-name.signing.key", 20), [
    "no signing key at",
    "/etc/matrix-synapse/a-very-long-name.signing.key",
  ]);
  assert.deepEqual(wrap("", 20), [""]);
});

test("nothing that was cut is wider than asked, and nothing that was wrapped is lost", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 60 }).map(escapeControls);
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 40 }), (given, width) => {
      assert.ok(widthOf(truncate(given, width)) <= width);
      const words = (line: string) => line.split(" ").filter((word) => word !== "");
      assert.deepEqual(wrap(given, width).flatMap(words), words(given));
    }),
  );
});
