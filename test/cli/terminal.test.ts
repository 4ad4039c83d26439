import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { COMMANDS } from "../../src/commands/index.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { onTerminal } from "../support/on-terminal.ts";
import { synlift } from "../support/synlift.ts";

// What a person at a terminal has before them, in a terminal of its own each time.

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const folder = temporaryFolder("terminal");
cpSync(fileURLToPath(new URL("../vectors/v1/good/bundle", import.meta.url)), join(folder, "damaged"), {
  recursive: true,
});
cpSync(join(folder, "damaged"), join(folder, "bundle"), { recursive: true });
writeFileSync(join(folder, "damaged/customer_db_export.sql.gz.gpg.part-aa"), "x");
writeFileSync(join(folder, "passphrase"), "these vectors must open for ever\n");
const DAMAGED = ["verify", "damaged", "--passphrase-file", "passphrase"];

const CODE = /\u001b\[[\d;?]*[A-Za-z]/g;
const linesOf = (screen: string) => screen.replaceAll(CODE, "").split(/\r?\n/);

describe("every command, on a narrow and on a wide terminal", { concurrency: 2 }, () => {
  assert.ok(COMMANDS.length > 25);
  for (const { name } of COMMANDS) {
    test(`${name}: its help fits 80 columns`, async () => {
      const { code, screen } = await onTerminal([...name.split(" "), "--help"], { folder });
      assert.equal(code, 0, screen);
      assertFits(screen, 80);
    });
    test(`${name}: a wrong option is refused within 120 columns, in red`, async () => {
      const { code, screen } = await onTerminal([...name.split(" "), "--no-such-option"], {
        columns: 120,
        folder,
      });
      assert.equal(code, 2, screen);
      assert.match(screen, /no-such-option/);
      assertFits(screen, 120);
    });
  }
});

function assertFits(screen: string, columns: number): void {
  // An example stays on one line, so that it can be copied.
  const wide = linesOf(screen).filter((line) => line.length > columns && !line.startsWith("  synlift "));
  assert.deepEqual(wide, []);
}

const PAINTED = /\u001b\[\d+m/;

test("blockers are painted on a terminal", async () => {
  const { code, screen } = await onTerminal(DAMAGED, { folder });
  assert.equal(code, 20, screen);
  assert.match(screen, PAINTED);
});

for (const [what, env] of [
  ["NO_COLOR", { NO_COLOR: "1" }],
  ["NO_COLOR beside FORCE_COLOR", { NO_COLOR: "1", FORCE_COLOR: "1" }],
  ["FORCE_COLOR=0", { FORCE_COLOR: "0" }],
] as const)
  test(`with ${what}, nothing is painted`, async () => {
    const { screen } = await onTerminal(DAMAGED, { folder, env });
    assert.match(screen, /BLOCKER/);
    assert.doesNotMatch(screen, PAINTED);
  });

const NO_TERM = ["env", "-u", "TERM", process.execPath, MAIN] as const;

for (const [what, given] of [
  ["TERM=dumb", { env: { TERM: "dumb" } }],
  // The library for terminals sets one, so it is taken away again.
  ["no TERM", { program: NO_TERM }],
] as const) {
  test(`with ${what}, there is no code at all, and progress is told in lines`, async () => {
    const { screen } = await onTerminal(DAMAGED, { folder, ...given });
    assert.match(screen, /BLOCKER/);
    assert.doesNotMatch(screen, /\u001b/);
  });

  test(`with ${what}, a passphrase is asked for plainly, and not echoed`, async () => {
    const keys = [[/Passphrase of the bundle: /, "these vectors must open for ever\r"]] as const;
    const { code, screen } = await onTerminal(["verify", "bundle"], { folder, ...given, keys });
    assert.equal(code, 0, screen);
    assert.doesNotMatch(screen, /vectors must|\u001b/);
  });
}

test("what goes to a file is not painted, though its messages are", async () => {
  const line = `"${process.execPath}" "${MAIN}" ${DAMAGED.join(" ")} > out.txt`;
  const { screen } = await onTerminal(["-c", line], { folder, program: ["sh"] });
  assert.match(screen, PAINTED);
  const written = readFileSync(join(folder, "out.txt"), "utf8");
  assert.match(written, /BLOCKER/);
  assert.doesNotMatch(written, /\u001b/);
});

test("with FORCE_COLOR, a pipe gets what is painted", async () => {
  const { stdout, stderr } = await synlift(DAMAGED, { folder, env: { FORCE_COLOR: "1" } });
  assert.match(stdout, PAINTED);
  assert.match(stderr, PAINTED);
});

for (const [what, env] of [
  ["a terminal", {}],
  ["a dumb terminal", { TERM: "dumb" }],
] as const)
  test(`Ctrl-C at the question for a passphrase ends with 130, on ${what}`, async () => {
    const keys = [[/Passphrase of the bundle/, "half of it\u0003"]] as const;
    const { code, screen } = await onTerminal(["verify", "bundle"], { folder, env, keys });
    assert.equal(code, 130, screen);
    assert.match(screen, /stopped by SIGINT/);
    assert.doesNotMatch(screen, /half of it/);
  });

test("a terminal that is made narrower while a question is open stays usable", async () => {
  const keys = [[/Passphrase of the bundle/, "these vectors must open for ever\r", 30]] as const;
  const { code, screen } = await onTerminal(["verify", "bundle"], { folder, keys });
  assert.equal(code, 0, screen);
  assert.match(screen.replaceAll(CODE, ""), /ok/);
});
