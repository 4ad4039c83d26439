import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type IPty, spawn } from "@lydell/node-pty";
import { describeStanding, standingLines } from "../../src/move/standing/text.ts";
import type { Standing } from "../../src/move/standing/run.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { until } from "../support/processes.ts";
import { MAIN, synlift, synliftWell } from "../support/synlift.ts";

const folder = temporaryFolder("standing");

const nothing = ["--out", join(folder, "none"), "--config-dir", join(folder, "none")];

test("where no move has begun, the next step is to look", async () => {
  const { stdout, stderr } = await synliftWell(["standing", ...nothing]);
  assert.equal(
    stdout,
    "no move has begun on this host\nnext: on the old host, while it serves: synlift plan --html /root/plan.html\nall commands: synlift --help\n",
  );
  assert.equal(stderr, "");
});

type Packed = NonNullable<Standing["packed"]>;
const packed = (state: Packed["state"], more: Partial<Packed> = {}): Standing => ({
  packed: { subject: "example.org", purpose: "move", state, fenced: true, ...more } as Packed,
  restored: undefined,
});
const restored = (opened: string | null): Standing => ({
  packed: undefined,
  restored: {
    configFolder: "/etc/matrix-synapse",
    record: { serverName: "example.org", opened } as NonNullable<Standing["restored"]>["record"],
  },
});

for (const [what, standing, next] of [
  ["an interrupted export", packed({ kind: "interrupted" }), /next: the same command again/],
  [
    "a sealed bundle",
    packed({ kind: "sealed" }),
    /next: synlift send \/srv\/move sftp:.*\n.*synlift restore/,
  ],
  [
    "a direct transfer that is complete",
    packed({ kind: "handed-over", at: "now" }),
    /next: on the new host: synlift open/,
  ],
  [
    "a cancelled move",
    packed({ kind: "rolled-back", at: "now" }),
    /cancelled.*\nnext: to move after all: synlift plan/,
  ],
  ["a restored server", restored(null), /next: synlift open --config-dir \/etc\/matrix-synapse .* --dry-run/],
  ["an opened server", restored("2026-11-30"), /next: synlift delegation check/],
] as const)
  test(`with ${what}, the next command is named`, () => {
    const text = standingLines(describeStanding(standing, "/srv/move")).join("\n");
    assert.match(text, next);
    assert.match(text, /example\.org/);
  });

test("without a terminal, no command is wrong usage", async () => {
  const { code, stderr } = await synlift([]);
  assert.equal(code, 2);
  assert.match(stderr, /^Usage: synlift/);
});

for (const cols of [80, 120])
  test(`at a terminal of ${cols} columns, synlift alone says where this host stands`, async () => {
    const { code, text } = await atTerminal([], cols);
    assert.equal(code, 0, text);
    assert.match(text, /\r\nnext: /);
    assert.match(text, /all commands: synlift --help/);
    assert.doesNotMatch(text, /\x1b\[/);
  });

test("Ctrl-C at the question for a passphrase ends with 130, and nothing of what was typed is shown", async () => {
  const bundle = fileURLToPath(new URL("../vectors/v1/good/bundle", import.meta.url));
  const { code, text } = await atTerminal(["verify", bundle], 80, (pty, screen) => {
    if (!screen.includes("Passphrase of the bundle")) return false;
    pty.resize(100, 30);
    pty.write("never\x03");
    return true;
  });
  assert.equal(code, 130, text);
  assert.doesNotMatch(text, /never/);
  assert.match(text, /stopped by SIGINT; run the same command again to continue/);
});

for (const [variable, value, coloured] of [
  ["NO_COLOR", "1", false],
  ["TERM", "dumb", false],
  ["TERM", "xterm-256color", true],
] as const)
  test(`with ${variable}=${value}, an error at a terminal is ${coloured ? "in colour" : "without colour"}`, async () => {
    const { code, text } = await atTerminal(["status", "--out", join(folder, "none")], 80, undefined, {
      [variable]: value,
    });
    assert.notEqual(code, 0);
    assert.equal(/\x1b\[\d+m/.test(text), coloured, JSON.stringify(text));
  });

/** Runs synlift at a pseudo-terminal. `act` sees the screen as it grows, until it returns true. */
async function atTerminal(
  args: readonly string[],
  cols: number,
  act?: (pty: IPty, screen: string) => boolean,
  env: Record<string, string> = {},
): Promise<{ code: number; text: string }> {
  const pty = spawn(process.execPath, [MAIN, ...args], {
    cols,
    rows: 30,
    cwd: folder,
    env: { PATH: process.env["PATH"], TERM: "xterm", ...env },
  });
  let text = "";
  let acted = act === undefined;
  pty.onData((data) => {
    text += data;
    if (!acted) acted = act!(pty, text);
  });
  let code: number | undefined;
  pty.onExit(({ exitCode }) => (code = exitCode));
  try {
    await until("synlift ends", () => code !== undefined, 120);
  } finally {
    if (code === undefined) pty.kill("SIGKILL");
  }
  return { code: code!, text };
}
