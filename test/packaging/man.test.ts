import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { manPages } from "../../scripts/packaging/man.ts";
import { COMMANDS } from "../../src/commands/index.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

const pages = manPages();
const folder = temporaryFolder("man");

/** The page as a terminal of this width shows it. */
function shown(name: string, columns = 80): string {
  const path = join(folder, name);
  writeFileSync(path, pages.get(name)!);
  const env = {
    ...process.env,
    MANWIDTH: `${columns}`,
    MANPAGER: "cat",
    LC_ALL: "C.UTF-8",
    MAN_KEEP_FORMATTING: "",
  };
  const man = spawnSync("man", ["-l", "--warnings", "--no-hyphenation", "--no-justification", path], {
    encoding: "utf8",
    env,
  });
  assert.deepEqual({ status: man.status, stderr: man.stderr }, { status: 0, stderr: "" }, name);
  // Bold and underlined letters are struck over.
  return man.stdout.replaceAll(/.\x08/g, "");
}

test("man shows every page without a warning, with each option in it", () => {
  const commands = COMMANDS.filter(({ hidden }) => hidden !== true);
  assert.equal(pages.size, commands.length + 1);
  for (const { name, options } of commands) {
    const text = shown(`synlift-${name.replace(" ", "-")}.1`);
    for (const { flags } of options.flatMap((group) => group.options))
      assert.ok(
        text.split("\n").some((line) => `${line} `.startsWith(`       ${flags} `)),
        `${name}: ${flags}`,
      );
    assert.match(text, /\nEXAMPLE\n +synlift /);
    assert.match(text, /\nEXIT STATUS\n +0 +Success\./);
  }
});

test("the overview names every command with its page", () => {
  const text = shown("synlift.1");
  for (const { name, hidden } of COMMANDS)
    assert.equal(text.includes(`synlift-${name.replace(" ", "-")}(1)`), hidden !== true, name);
});

test("an example can be copied from the page as it stands", () => {
  assert.match(shown("synlift-status.1"), /synlift status \\?\s*--out \/srv\/move/);
  assert.doesNotMatch([...pages.values()].join(""), /[^\x00-\x7f]/);
});
