import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { cruise, type ICruiseResult } from "dependency-cruiser";
import extractTSConfig from "dependency-cruiser/config-utl/extract-ts-config";
import { FLOORS, INNER_FLOORS, OPTIONS, RULES } from "../scripts/architecture.ts";
import { removeFolder, temporaryFolder } from "./support/lab/temporary-folder.ts";

/** What each thing in homeserver/ can do. A hole in the grid is a decision, not an oversight. */
const VERBS = {
  config: ["inspect", "export", "restore", "verify"],
  "signing-key": ["inspect", "export", "restore", "verify"],
  database: ["inspect", "export", "restore", "verify"],
  media: ["inspect", "export", "restore", "verify"],
  service: ["inspect", "stop", "start", "verify"],
  // They travel inside the database.
  people: ["inspect"],
};

/** What is main.ts's alone: the process, the console, and imports that the rules cannot see through. */
const INSIDE = /(?<![.\w])(process|console)\.|(?<![.\w])import\((?!\s*")|(?<![.\w])fetch\(/;

/** Names that say nothing: whatever is put there has no room of its own. */
const NAMELESS = /^(utils?|helpers?|common|core|misc|lib|manager|data)$/;

/** Of all lines of src/: when one room holds more, it wants to be two. */
const LARGEST_SHARE = 0.4;

/** Lines of a file in commands/, groups of options apart. */
const LONGEST_COMMAND = 110;

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SOURCE = join(ROOT, "src");

test("imports go down only, types included, and nothing imports itself by a detour", async () => {
  const { summary } = await cruised(ROOT);
  assert.ok(summary.totalCruised > 300, `only ${summary.totalCruised} files were looked at`);
  assert.deepEqual(
    summary.violations.map(({ rule, from, to, cycle }) =>
      [rule.name, from, ...(cycle?.map(({ name }) => name) ?? [to])].join(" → "),
    ),
    [],
  );
});

test("the rules find an import that goes up, one between neighbours, a cycle of types, and one that reaches outside", async () => {
  const folder = temporaryFolder("architecture");
  cpSync(join(ROOT, "tsconfig.json"), join(folder, "tsconfig.json"));
  const write = (path: string, text: string) => {
    mkdirSync(join(folder, "src", path, ".."), { recursive: true });
    writeFileSync(join(folder, "src", path), text);
  };
  write("errors.ts", "export const a = 1;");
  write("system/up.ts", 'import type { M } from "../move/sections.ts";\nexport type Up = M;');
  write("move/sections.ts", "export type M = number;");
  write("move/open/a.ts", 'import { e } from "../export/b.ts";\nexport const o = e;');
  write("move/export/b.ts", "export const e = 1;");
  write("homeserver/media/x.ts", 'import type { Y } from "./y.ts";\nexport interface X { y: Y }');
  write("homeserver/media/y.ts", 'import type { X } from "./x.ts";\nexport interface Y { x: X }');
  write(
    "homeserver/config/read.ts",
    'import { readFileSync } from "node:fs";\nexport const r = readFileSync;',
  );
  write("commands/plan.ts", 'import { e } from "../move/export/b.ts";\nexport const p = e;');
  const { summary } = await cruised(folder);
  const names = new Set(summary.violations.map(({ rule }) => rule.name));
  for (const name of [
    "floors: system",
    "inside move: open",
    "no cycle",
    "only system/ reaches outside",
    "commands load their work when they run",
  ])
    assert.ok(names.has(name), `${name} was not found: ${[...names].join(", ")}`);
  removeFolder(folder);
});

test("every room that is there has a floor", () => {
  const known = new Set([...FLOORS.flat(), ...Object.keys(INNER_FLOORS)]);
  for (const name of readdirSync(SOURCE)) assert.ok(known.has(name), `src/${name} has no floor`);
  for (const [room, floors] of Object.entries(INNER_FLOORS))
    for (const name of readdirSync(join(SOURCE, room)))
      assert.ok(floors.flat().includes(name), `src/${room}/${name} has no floor`);
});

test("only main.ts touches the process", () => {
  for (const file of sourceFiles().filter((name) => name !== "main.ts"))
    assert.ok(
      !INSIDE.test(withoutComments(file)),
      `${file} touches the process, or imports where nobody sees it`,
    );
});

test("each thing can do what it must", () => {
  for (const [thing, verbs] of Object.entries(VERBS)) {
    const files = readdirSync(join(SOURCE, "homeserver", thing));
    for (const verb of verbs)
      assert.ok(files.includes(`${verb}.ts`), `homeserver/${thing} has no ${verb}.ts`);
  }
});

test("what lies below delegation/ and homeserver/ knows nothing of Matrix", () => {
  const matrix = new Set([
    "delegation",
    "old-address",
    "homeserver",
    "move",
    "commands",
    "main.ts",
    "errors.ts",
  ]);
  for (const file of sourceFiles().filter((name) => !matrix.has(name.split("/")[0]!))) {
    assert.ok(!/synapse|matrix|homeserver/i.test(withoutComments(file)), `${file} knows too much`);
  }
});

test("a file is named after what it holds, and has no default export", () => {
  for (const file of sourceFiles()) {
    for (const part of file.replace(/\.ts$/, "").split("/"))
      assert.ok(!NAMELESS.test(part), `${file} is named after nothing`);
    assert.ok(!/^export default/m.test(read(file)), `${file} has a default export`);
  }
});

test("a command is its options, the order it builds, and one call", () => {
  const commands = sourceFiles().filter((name) => /^commands\/[^/]+\.ts$/.test(name));
  assert.ok(commands.length > 10, "found no commands");
  for (const file of commands) {
    const lines = read(file).trimEnd().split("\n").length;
    assert.ok(lines <= LONGEST_COMMAND, `${file} has ${lines} lines: its use case belongs below it`);
  }
});

test("each file on the four walks of docs/house.md is there", () => {
  const page = readFileSync(fileURLToPath(new URL("../docs/house.md", import.meta.url)), "utf8");
  const walks = /## Four walks[^]*?(?=\nBefore `move)/.exec(page)?.[0] ?? "";
  let folder = "";
  const named = [...walks.matchAll(/`([a-z/-]+\.ts)`/g)].map(([, name]) => {
    const path = name!.includes("/") ? name! : name === "main.ts" ? name : `${folder}/${name!}`;
    folder = dirname(path);
    return path;
  });
  const files = new Set(sourceFiles());
  assert.ok(named.length > 50, `found ${named.length} files in the walks`);
  assert.deepEqual(
    named.filter((path) => !files.has(path)),
    [],
  );
});

test("no room holds most of the house", () => {
  const lines = new Map<string, number>();
  for (const file of sourceFiles()) {
    const room = file.split("/")[0]!;
    lines.set(room, (lines.get(room) ?? 0) + read(file).split("\n").length);
  }
  const all = [...lines.values()].reduce((sum, count) => sum + count, 0);
  for (const [room, count] of lines)
    assert.ok(count / all < LARGEST_SHARE, `${room} holds ${Math.round((100 * count) / all)} % of the lines`);
});

async function cruised(baseDir: string): Promise<ICruiseResult> {
  const { output } = await cruise(
    ["src"],
    { ...OPTIONS, ruleSet: { forbidden: RULES }, validate: true, baseDir },
    undefined,
    { tsConfig: extractTSConfig(join(ROOT, "tsconfig.json")) },
  );
  assert.ok(typeof output === "object");
  return output;
}

const read = (file: string) => readFileSync(join(SOURCE, file), "utf8");
const withoutComments = (file: string) => read(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");

function sourceFiles(): string[] {
  const files = readdirSync(SOURCE, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  assert.ok(files.length > 50, "found no source files to check");
  return files;
}
