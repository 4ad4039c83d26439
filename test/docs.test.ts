import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CommanderError } from "commander";
import { COMMANDS } from "../src/commands/index.ts";
import { type ChosenCommand, commandLine } from "../src/commands/menu.ts";
import { EXIT_CODES, MigrationError } from "../src/errors.ts";
import type { ProgressView } from "../src/report/progress-view.ts";
import type { System } from "../src/system/system.ts";
import { VERSION } from "../src/system/version.ts";
import { runbookCommands } from "./support/hosts/runbook.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const OTHERS = new Set(["node_modules", ".lab", ".git", "dist"]);

const PAGES = globSync("**/*.md", { cwd: ROOT, exclude: (path) => OTHERS.has(basename(path)) }).sort();

const packageJson = JSON.parse(read("package.json")) as { version: string; scripts: Record<string, string> };

test("the pages made from the program are up to date", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, "scripts/docs.ts"), "--check"], {
    encoding: "utf8",
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
});

test("every link within the project leads to a file, and to a heading in it", () => {
  assert.ok(PAGES.length >= 15, `found only ${PAGES.length} pages`);
  const links = PAGES.flatMap((page) => linksOf(page).map((target) => ({ page, target })));
  assert.ok(links.length >= 50, `found only ${links.length} links`);
  const broken = links.flatMap(({ page, target }) => {
    const why = faultOf(page, target);
    return why === undefined ? [] : [`${page}: ${target}: ${why}`];
  });
  assert.deepEqual(broken, []);
});

test("every synlift command line in a block works as typed", async () => {
  const lines = PAGES.flatMap((page) => shellLines(page).map((words) => ({ page, words })));
  const ours = lines.filter(({ words: [program] }) => program !== undefined && isSynlift(program));
  assert.ok(ours.length >= 15, `found only ${ours.length} command lines`);
  const faults: string[] = [];
  for (const { page, words } of ours) {
    const why = await refusal(words.slice(1));
    if (why !== undefined) faults.push(`${page}: ${words.join(" ")}: ${why}`);
  }
  assert.deepEqual(faults, []);
});

test("every command block of the runbook is one that a test on real hosts executes", () => {
  assert.ok(Object.keys(runbookCommands()).length >= 25);
});

test("every synlift command in a sentence exists, with its options", () => {
  const said = PAGES.flatMap((page) =>
    [...withoutBlocks(read(page)).matchAll(/`(synlift [^`]+)`/g)].map(([, text]) => ({ page, text: text! })),
  );
  assert.ok(said.length >= 10, `found only ${said.length} commands in sentences`);
  const faults = said.flatMap(({ page, text }) => {
    const why = unknownIn(text.split(/\s+/).slice(1));
    return why === undefined ? [] : [`${page}: ${text}: ${why}`];
  });
  assert.deepEqual(faults, []);
});

/** 0, an unexpected error, and 128 plus the number of a signal that ends a command. */
const OTHER_EXIT_CODES = [0, 1, 129, 130, 143];

test("the runbook's table has every exit code in one row, and no other", () => {
  const rows =
    tablesOf(read("docs/runbook.md"))
      .find(([head]) => head?.[0] === "code")
      ?.slice(2) ?? [];
  const named = rows.flatMap(([cell = ""]) => codesIn(cell));
  const codes = [...Object.values(EXIT_CODES), ...OTHER_EXIT_CODES].filter((code) => code !== 0);
  const times = (code: number) => named.filter((one) => one === code).length;
  assert.deepEqual(
    codes.filter((code) => times(code) !== 1),
    [],
  );
  // A range has room for codes that come later.
  for (const [cell = ""] of rows)
    assert.ok(
      codesIn(cell).some((code) => codes.includes(code)),
      `${cell}: no such exit code`,
    );
});

test("every exit code that a page names exists, with the number that belongs to its name", () => {
  const known = new Set<number>([...Object.values(EXIT_CODES), ...OTHER_EXIT_CODES]);
  // What the start script of a layout ends with (sysexits.h), and a container of the tests.
  const ofOthers = new Set([78, 133]);
  const named = PAGES.flatMap((page) =>
    [...withoutBlocks(read(page)).matchAll(/\bexit code[:\s]+(\d+)/g)].map(([, code]) => ({
      page,
      code: Number(code),
    })),
  );
  assert.ok(named.length >= 10, `found only ${named.length} exit codes in sentences`);
  assert.deepEqual(
    named.filter(({ code }) => !known.has(code) && !ofOthers.has(code)),
    [],
  );
  const rows = PAGES.flatMap((page) =>
    tablesOf(read(page)).flatMap((table) =>
      table[0]?.[0] === "code" ? table.slice(2).map((cells) => ({ page, cells })) : [],
    ),
  );
  const wrong = rows.filter(({ cells: [code = "", name = ""] }) => {
    const id = /^`([a-z-]+)`$/.exec(name)?.[1];
    return (
      id !== undefined &&
      Object.entries(EXIT_CODES).every(([one, number]) => one !== id || String(number) !== code)
    );
  });
  assert.ok(rows.length > 100, `found only ${rows.length} rows of exit codes`);
  assert.deepEqual(wrong, []);
});

test("every npm script that the pages name exists", () => {
  const named = PAGES.flatMap((page) =>
    [...read(page).matchAll(/\bnpm (?:run ([a-z:-]+)|(test)\b)/g)].map(([, script, short]) => ({
      page,
      script: script ?? short!,
    })),
  );
  assert.ok(named.length >= 5, `found only ${named.length} scripts`);
  const unknown = named.filter(({ script }) => !(script in packageJson.scripts));
  assert.deepEqual(unknown, []);
});

test("the program says the version that the package has", () => {
  assert.equal(VERSION, packageJson.version);
});

function read(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

const FENCE = /^( *)```([a-z]*)[^\n]*\n([\s\S]*?)^ *```/gm;

function withoutBlocks(text: string): string {
  return text.replaceAll(FENCE, "");
}

/** The tables of a page, as rows of cells; the second row is the line below the head. */
function tablesOf(text: string): string[][][] {
  const tables: string[][][] = [[]];
  for (const line of text.split("\n")) {
    if (line.startsWith("|"))
      tables.at(-1)!.push(
        line
          .slice(1)
          .split("|")
          .map((cell) => cell.trim()),
      );
    else if (tables.at(-1)!.length > 0) tables.push([]);
  }
  return tables;
}

/** "10 to 19" and "129, 130, 143" as numbers. */
function codesIn(cell: string): number[] {
  return cell.split(", ").flatMap((part) => {
    const [from = NaN, to = from] = part.split(" to ").map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

function linksOf(page: string): string[] {
  const prose = withoutBlocks(read(page)).replaceAll(/`[^`\n]*`/g, "code");
  const targets = [...prose.matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

function faultOf(page: string, target: string): string | undefined {
  const [path = "", heading] = decodeURIComponent(target).split("#");
  const file = path === "" ? page : relative(ROOT, resolve(ROOT, dirname(page), path));
  if (file.startsWith("..") || !existsSync(join(ROOT, file))) return "there is no such file";
  if (heading === undefined) return undefined;
  return headingsOf(file).has(heading) ? undefined : "there is no such heading";
}

/** The names that headings have in links, as GitHub makes them. */
function headingsOf(file: string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [, title] of withoutBlocks(read(file)).matchAll(/^#{1,6} +(.+)$/gm)) {
    const shown = title!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const name = shown.replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
    let free = name;
    for (let number = 1; names.has(free); number++) free = `${name}-${number}`;
    names.add(free);
  }
  return names;
}

/** Each simple command of the blocks of shell in a page, as its words. */
function shellLines(page: string): string[][] {
  const blocks = [...read(page).matchAll(FENCE)].filter(([, , language]) =>
    ["sh", "bash", "console", ""].includes(language!),
  );
  return blocks.flatMap(([, , , block]) =>
    block!
      .replaceAll(/\\\n/g, " ")
      .split("\n")
      .flatMap((line) => commandsIn(line.replace(/^\s*\$ /, ""))),
  );
}

/** A small part of a shell's grammar: words, quotes, and what separates commands. */
function commandsIn(line: string): string[][] {
  const commands: string[][] = [[]];
  for (const [token, single, double] of line.matchAll(
    /'([^']*)'|"((?:[^"\\]|\\.)*)"|#.*$|[;|&()]+|[^\s'";|&()]+/g,
  )) {
    if (/^[;|&()]/.test(token)) commands.push([]);
    else if (!token.startsWith("#")) commands.at(-1)!.push(single ?? double ?? token);
  }
  return commands.filter((words) => words.length > 0);
}

function isSynlift(program: string): boolean {
  return ["synlift", "synlift.js"].includes(basename(program));
}

/** Why a command line would be refused before it did anything; undefined when it would begin. */
async function refusal(args: readonly string[]): Promise<string | undefined> {
  let chosen: ChosenCommand | undefined;
  const quiet = { out: () => undefined, err: () => undefined };
  try {
    await commandLine(COMMANDS, (choice) => (chosen = choice), quiet).parseAsync(args, { from: "user" });
    // Without a system a command gets no further than to check what was typed.
    await chosen?.entry.run(chosen.given, {} as System, {} as ProgressView);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? undefined : error.message;
    if (error instanceof MigrationError) return error.message;
    if (!(error instanceof TypeError)) throw error;
  }
  return undefined;
}

/** The first command or option that is not there. What stands for something else, such as BUNDLE, is passed over. */
function unknownIn([name = "", ...words]: readonly string[]): string | undefined {
  const quiet = { out: () => undefined, err: () => undefined };
  const menu = commandLine(COMMANDS, () => undefined, quiet);
  const first = name.startsWith("-") ? menu : menu.commands.find((one) => one.name() === name);
  if (!first) return `there is no command ${name}`;
  const command = first.commands.find((one) => one.name() === words[0]) ?? first;
  const options = command.createHelp().visibleOptions(command);
  const known = options.flatMap(({ short, long }) => [short, long]);
  // A dash alone is a bundle that comes through a pipe.
  const typed = [name, ...words].filter((word) => word.startsWith("-") && word !== "-");
  const unknown = typed.find((word) => !known.includes(word));
  return unknown === undefined ? undefined : `there is no option ${unknown}`;
}
