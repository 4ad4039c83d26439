import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";

/**
 * Compares a text with test/golden/NAME, to the byte.
 *
 * After a change that is meant: GOLDEN=write node --test "test/report/*.test.ts", and read the diff.
 */
export function matchesGolden(name: string, text: string): void {
  const path = new URL(`../golden/${name}`, import.meta.url);
  if (process.env["GOLDEN"] === "write") writeFileSync(path, text);
  assert.equal(text, readFileSync(path, "utf8"), `differs from test/golden/${name}`);
}
