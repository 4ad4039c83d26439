import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type IPty, spawn } from "@lydell/node-pty";
import { completions } from "../../scripts/packaging/completions.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { until } from "../support/processes.ts";

const folder = temporaryFolder("completions");
for (const [name, text] of completions()) writeFileSync(join(folder, name), text);
mkdirSync(join(folder, "place/bundle"), { recursive: true });
writeFileSync(join(folder, "place/page.html"), "");

/** What a Tab offers behind these words: all of it, or what the one candidate has in common with what was typed. */
const TYPED: Record<string, { words: string[]; offered: string[]; not: string[] }> = {
  "a command": { words: ["ver"], offered: ["verify"], not: ["plan", "pull-sender"] },
  "a command of a group": { words: ["media", ""], offered: ["check", "export"], not: ["plan"] },
  "an option": { words: ["plan", "--h"], offered: ["--html", "--help"], not: ["--out"] },
  "an option of a command of a group": {
    words: ["media", "check", "--j"],
    offered: ["--json"],
    not: ["--html"],
  },
  "an option of a command that has others below it": {
    words: ["maintenance", "--sn"],
    offered: ["--snippet"],
    not: ["--web-root"],
  },
  "a command below another one": { words: ["maintenance", "s"], offered: ["serve"], not: ["sign-out"] },
  "a folder behind an option": {
    words: ["status", "--out", join(folder, "place/")],
    offered: ["bundle"],
    not: ["page.html"],
  },
  "a file behind an option": {
    words: ["plan", "--html", join(folder, "place/p")],
    offered: ["page.html"],
    not: ["bundle"],
  },
  "a bundle": { words: ["verify", join(folder, "place/b")], offered: ["bundle"], not: [] },
};

const BASH = `source "$0"
COMP_WORDS=(synlift "$@")
COMP_CWORD=$#
_synlift
printf '%s\\n' "\${COMPREPLY[@]}"`;

for (const [what, { words, offered, not }] of Object.entries(TYPED)) {
  const check = (shell: string, said: string) => {
    for (const one of offered) assert.ok(said.includes(one), `${shell} does not offer ${one}: ${said}`);
    for (const one of not) assert.ok(!said.includes(one), `${shell} offers ${one}: ${said}`);
  };
  test(`bash completes ${what}`, () => {
    const args = ["--norc", "-c", BASH, join(folder, "synlift.bash"), ...words];
    check("bash", execFileSync("bash", args, { encoding: "utf8" }));
  });

  test(`fish completes ${what}`, () => {
    const script = `source ${join(folder, "synlift.fish")}; complete -C 'synlift ${words.join(" ")}'`;
    check("fish", execFileSync("fish", ["--no-config", "-c", script], { encoding: "utf8" }));
  });

  test(`zsh completes ${what}`, async () => {
    const said = await inZsh(words);
    check("zsh", said);
  });
}

/** At a terminal, because zsh completes nowhere else. One for all tests: it takes seconds to read its own completions. */
let zsh: IPty | undefined;
let screen = "";

after(async () => {
  if (!zsh) return;
  let ended = false;
  zsh.onExit(() => (ended = true));
  zsh.kill("SIGKILL");
  await until("zsh has ended", () => ended, 60);
});

async function startZsh(): Promise<IPty> {
  const env = { PATH: process.env["PATH"], TERM: "dumb", HOME: folder };
  const started = spawn("zsh", ["-f"], { cols: 200, rows: 50, env });
  started.onData((data) => (screen += data));
  // The shell shows what it is told: the words that are waited for are written there in two pieces.
  const setUp = [
    ...["unset zle_bracketed_paste", "unsetopt prompt_sp always_last_prompt", "LISTMAX=1000"],
    ...[`fpath=(${folder} $fpath)`, "autoload -Uz compinit", "compinit -u -D", "echo start''ed"],
  ];
  started.write(`${setUp.join("; ")}\r`);
  await until("zsh has started", () => screen.includes("started\r\n"), 120);
  return started;
}

async function inZsh(words: readonly string[]): Promise<string> {
  zsh ??= await startZsh();
  const before = screen.length;
  zsh.write(`synlift ${words.join(" ")}\t`);
  zsh.write("\x15echo that-is''-all\r");
  await until("zsh is done", () => screen.slice(before).includes("that-is-all\r\n"), 120);
  // What was typed is not what was offered; a bell, or a movement of the cursor, may stand between what is typed and the rest.
  const letters = screen.slice(before).replaceAll(/\x1b\[[?\d;]*[A-Za-z]|[\x00-\x09\x0e-\x1f]/g, "");
  return letters.replaceAll(`synlift ${words.slice(0, -1).join(" ")}`, "");
}
