import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";

/** The house, ground floor first. A file may import from its own room and from the floors below. */
const FLOORS = [
  ["errors.ts"],
  ["system"],
  ["pipeline", "journal", "report"],
  ["bundle"],
  ["homeserver", "transfer", "delegation", "front-door"],
  ["commands"],
  ["main.ts"],
];

/** What each thing in homeserver/ can do. A hole in the grid is a decision, not an oversight. */
const VERBS = {
  config: ["inspect", "export", "restore", "verify"],
  "signing-key": ["inspect", "export", "restore", "verify"],
  database: ["inspect", "export", "restore", "verify"],
  media: ["inspect", "export", "restore", "verify"],
  service: ["inspect", "stop", "fence", "start", "undo", "verify"],
  // They travel inside the database.
  people: ["inspect"],
};

/** Built-in modules and packages that reach the outside world, and the global that does. */
const OUTSIDE =
  /from "(node:(fs|fs\/promises|child_process|net|tls|dgram|dns|dns\/promises|http|https|http2|sqlite|readline|worker_threads|os)|@clack\/prompts|dns-packet)"|(?<![.\w])fetch\(/;

/** What is main.ts's alone: the process, the console, and imports that this test can't see through. */
const INSIDE = /(?<![.\w])(process|console)\.|(?<![.\w])import\(/;

/** Names that say nothing: whatever is put there has no room of its own. */
const NAMELESS = /^(utils?|helpers?|common|core|misc|lib|manager|data)$/;

const LONGEST = 250;

test("nothing imports from its own floor's other rooms, or from above", () => {
  for (const file of sourceFiles()) {
    assert.notEqual(floor(file), -1, `${file} has no floor: add its room to FLOORS`);
    for (const imported of importsOf(file)) {
      const allowed = room(imported) === room(file) || floor(imported) < floor(file);
      assert.ok(allowed, `${file} may not import ${imported}`);
    }
  }
});

test("only main.ts touches the process, only system/ touches the outside", () => {
  for (const file of sourceFiles()) {
    const text = withoutComments(file);
    assert.ok(
      file === "main.ts" || !INSIDE.test(text),
      `${file} touches the process, or imports where nobody sees it`,
    );
    assert.ok(room(file) === "system" || !OUTSIDE.test(text), `${file} reaches outside by itself`);
  }
});

test("a command doesn't know the other commands", () => {
  const shared = [
    "commands/command.ts",
    "commands/options.ts",
    "commands/database-options.ts",
    "commands/layout-options.ts",
    "commands/road-options.ts",
    "commands/archive-options.ts",
    "commands/spool-options.ts",
    "commands/restored-words.ts",
  ];
  for (const file of sourceFiles().filter(
    (name) => room(name) === "commands" && name !== "commands/index.ts",
  )) {
    const others = importsOf(file).filter((name) => room(name) === "commands" && !shared.includes(name));
    assert.deepEqual(others, [], file);
  }
});

test("each thing can do what it must", () => {
  for (const [thing, verbs] of Object.entries(VERBS)) {
    const files = readdirSync(join(SOURCE, "homeserver", thing));
    for (const verb of verbs)
      assert.ok(files.includes(`${verb}.ts`), `homeserver/${thing} has no ${verb}.ts`);
  }
});

test("what lies below homeserver/ knows nothing of Matrix", () => {
  for (const file of sourceFiles().filter((name) => room(name) !== "errors.ts" && floor(name) < 4)) {
    assert.ok(!/synapse|matrix|homeserver/i.test(withoutComments(file)), `${file} knows too much`);
  }
});

test("a file holds one thing, is not too long, and is named after it", () => {
  for (const file of sourceFiles()) {
    for (const part of file.replace(/\.ts$/, "").split("/"))
      assert.ok(!NAMELESS.test(part), `${file} is named after nothing`);
    const lines = read(file).split("\n").length;
    assert.ok(
      lines <= LONGEST || /^\/\*\* Long because/.test(read(file)),
      `${file} has ${lines} lines: it holds two things`,
    );
    assert.ok(!/^export default/m.test(read(file)), `${file} has a default export`);
  }
});

const SOURCE = new URL("../src/", import.meta.url).pathname;

const read = (file: string) => readFileSync(join(SOURCE, file), "utf8");
const withoutComments = (file: string) => read(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
const room = (path: string) => path.split("/")[0]!;
const floor = (path: string) => FLOORS.findIndex((rooms) => rooms.includes(room(path)));

function sourceFiles(): string[] {
  const files = readdirSync(SOURCE, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  assert.ok(files.length > 50, "found no source files to check");
  return files;
}

/** Type-only imports count: a type that comes from above is knowledge from above. */
function importsOf(file: string): string[] {
  return [...read(file).matchAll(/(?:from|import) "(\.[^"]+)"/g)].map(([, path]) =>
    normalize(join(dirname(file), path!)),
  );
}
