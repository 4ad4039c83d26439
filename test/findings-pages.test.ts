import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { collectFindings } from "../scripts/finding-ids.ts";
import { findingFaults, findingPages } from "../scripts/findings-pages.ts";
import { removeFolder, temporaryFolder } from "./support/lab/temporary-folder.ts";

// That every finding of src/ has an entry, and every entry a finding, is tested with the other generated pages: docs.test.ts
// runs scripts/docs.ts, which writes nothing while they do not fit.

const FINDING = `
export type Level = "ok" | "note" | "warning" | "blocker";
export interface Finding { readonly id: string; readonly level: Level; readonly sentence: string; readonly hint?: string }
`;

const COMMANDS = `
interface Command<T> { readonly name: string; readonly run: (given: T) => unknown }
export const lookCommand: Command<object> = {
  name: "look",
  run: async () => { const [{ look, named: other }] = await Promise.all([import("../look.ts")]); return [look(), other("kind")]; },
};
export const tellCommand: Command<object> = { name: "tell", run: () => import("../tell.ts").then(({ tell }) => tell("x")) };
`;

const LOOK = `
import type { Finding } from "./finding.ts";
import { warn } from "./warn.ts";
const CONSTANT = "from-constant";
export const look = (): Finding[] => {
  const id = "from-variable";
  const isBad = Math.random() > 0.5;
  return [
    { id: "literal", level: isBad ? "warning" : "note", sentence: "a" },
    { id, level: "ok", sentence: "b" },
    { id: CONSTANT, level: "ok", sentence: "c" },
    { id: isBad ? "either" : "or", level: "blocker", sentence: "d" },
    warn("by-function", "e"),
    ...kinds({ kind: "server" }),
  ];
};
function kinds({ kind }: { kind: string }): Finding[] {
  const first: Finding = { id: \`file:\${kind}\`, level: "warning", sentence: "f" };
  return [first, { ...first, id: first.id, sentence: "the same id in other words" }];
}
export const named = (kind: string): Finding => ({ id: \`about-\${kind}\`, level: "ok", sentence: "g" });
export const progress = { id: "not-a-finding", label: "h", sentence: "it has something else" };
`;

test("ids are found however they are written, with their levels", (t) => {
  const { findings, unknown } = collectFindings(sourceOf(t));
  assert.deepEqual(
    findings.map(({ id, hasSuffix, levels }) => `${id}${hasSuffix ? ":" : ""} ${levels.join(",")}`),
    [
      "about-kind ok",
      "by-function warning",
      "either blocker",
      "file: warning",
      "from-constant ok",
      "from-variable ok",
      "literal note,warning",
      "or blocker",
      "told ok",
    ],
  );
  assert.deepEqual(unknown, ["src/tell.ts:4"]);
});

test("a finding names the commands from which it can be reached, also where a file is imported when it is needed", (t) => {
  const { findings } = collectFindings(sourceOf(t));
  const commandsOf = (wanted: string) => findings.find(({ id }) => id === wanted)?.commands;
  assert.deepEqual(commandsOf("literal"), ["look"]);
  assert.deepEqual(commandsOf("about-kind"), ["look"]);
  assert.deepEqual(commandsOf("told"), ["tell"]);
});

test("no page is made while a finding lacks its explanation, or an explanation its finding", () => {
  const made = {
    findings: [{ id: "brand-new", hasSuffix: false, levels: ["warning" as const], commands: ["plan"] }],
    unknown: ["src/somewhere.ts:7"],
  };
  const faults = findingFaults(made);
  assert.ok(faults.includes("brand-new is not explained"), faults.join("\n"));
  assert.ok(faults.includes("gpg is explained, and nothing in src/ makes it"), faults.join("\n"));
  assert.ok(faults.includes("src/somewhere.ts:7: its id cannot be followed to its text"), faults.join("\n"));
  assert.throws(() => findingPages(made, ["plan"]), /brand-new is not explained/);
});

/** A small src/ of its own, below a folder that is removed after the test. */
function sourceOf(t: TestContext): string {
  const root = temporaryFolder("findings");
  t.after(() => {
    removeFolder(root);
  });
  const files = {
    "tsconfig.json": JSON.stringify({
      compilerOptions: {
        ...{ target: "es2024", module: "nodenext", strict: true, noEmit: true, types: [] },
        allowImportingTsExtensions: true,
      },
    }),
    "package.json": JSON.stringify({ type: "module" }),
    "src/main.ts": `export { lookCommand, tellCommand } from "./commands/all.ts";\n`,
    "src/commands/all.ts": COMMANDS,
    "src/finding.ts": FINDING,
    "src/look.ts": LOOK,
    "src/warn.ts": `import type { Finding } from "./finding.ts";
export const warn = (id: string, sentence: string): Finding => ({ id, level: "warning", sentence });\n`,
    "src/tell.ts": `import type { Finding } from "./finding.ts";
export const tell = (word: string): Finding[] => [
  { id: "told", level: "ok", sentence: word },
  { id: word.toUpperCase(), level: "ok", sentence: word },
];\n`,
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}
