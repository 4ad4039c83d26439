// Writes docs/commands/*.md from the commands themselves, docs/exit-codes.md from src/errors.ts, docs/findings/*.md from the
// findings that src/ makes, docs/json/ from the types of what commands return, and the graphs of docs/house.md from the imports of src/.
//   no argument: writes what differs;  --check: writes nothing, names what differs, and fails
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command as Commander } from "commander";
import { format, resolveConfig } from "prettier";
import type { Entry, Option } from "../src/commands/command.ts";
import { COMMANDS } from "../src/commands/index.ts";
import { commandLine } from "../src/commands/menu.ts";
import { type ErrorCode, EXIT_CODES, MigrationError } from "../src/errors.ts";
import type { ProgressView } from "../src/report/progress-view.ts";
import type { System } from "../src/system/system.ts";
import { ANY_COMMAND, BY_COMMAND, MEANINGS } from "./exit-code-meanings.ts";
import { collectFindings } from "./finding-ids.ts";
import { findingPages } from "./findings-pages.ts";
import { SCHEMAS } from "./json-files.ts";
import { jsonSchemas, WITH_JSON } from "./json-schemas.ts";
import { roomGraphs } from "./room-graphs.ts";
import { SourceProgram } from "./source-program.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PAGES = "docs/commands";
const FINDINGS = "docs/findings";
const HOUSE = "docs/house.md";
const GRAPHS_BEGIN = "<!-- Written by scripts/docs.ts from the imports of src/ (npm run docs): begin -->";
const GRAPHS_END = "<!-- Written by scripts/docs.ts from the imports of src/: end -->";
/** Commands that people start: those that synlift starts itself have no page. */
const SHOWN = COMMANDS.filter(({ hidden }) => !hidden);

const MARK = "<!-- Written by scripts/docs.ts. Change the source it is made from, then: npm run docs -->";

const REQUIRED = "**required**";

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const check = args[0] === "--check";
  if (args.length > (check ? 1 : 0)) {
    console.error("error: the only argument is --check");
    return 2;
  }
  const wanted = await generated();
  const differing = [...wanted].filter(([path, text]) => found(path) !== text);
  const left = [PAGES, FINDINGS, SCHEMAS]
    .filter((folder) => existsSync(join(ROOT, folder)))
    .flatMap((folder) => readdirSync(join(ROOT, folder)).map((name) => `${folder}/${name}`))
    .filter((path) => !wanted.has(path));
  for (const [path, text] of check ? [] : differing) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), text);
  }
  for (const path of check ? [] : left) rmSync(join(ROOT, path));
  for (const [path] of differing) console.log(`${check ? "not up to date" : "written"}: ${path}`);
  for (const path of left) console.log(`${check ? "nothing has this page" : "removed"}: ${path}`);
  if (!check || differing.length + left.length === 0) return 0;
  console.error("error: the docs differ from the program they are made from; hint: npm run docs");
  return 1;
}

/** Path below the project → text, as prettier wants it. */
async function generated(): Promise<ReadonlyMap<string, string>> {
  // commander's own view of the menu: the pages show what it accepts.
  const menu = commandLine(COMMANDS, () => undefined, { out: () => undefined, err: () => undefined });
  const pages: [string, string][] = [
    [`${PAGES}/README.md`, overview()],
    ["docs/exit-codes.md", exitCodes()],
    [HOUSE, await house()],
  ];
  for (const entry of SHOWN) {
    const line = entry.name
      .split(" ")
      .reduce<Commander | undefined>(
        (group, word) => group?.commands.find((command) => command.name() === word),
        menu,
      );
    if (!line) throw new Error(`the menu has no ${entry.name}`);
    pages.push([`${PAGES}/${fileOf(entry)}`, await page(entry, line)]);
  }
  const program = new SourceProgram(ROOT);
  for (const [name, schema] of jsonSchemas(ROOT, WITH_JSON, program))
    pages.push([`${SCHEMAS}/${name}`, JSON.stringify(schema)]);
  const names = SHOWN.map(({ name }) => name);
  for (const [name, text] of findingPages(collectFindings(ROOT, program), names))
    pages.push([`${FINDINGS}/${name}`, `${MARK}\n\n${text}`]);
  const options = await resolveConfig(join(ROOT, PAGES, "README.md"));
  const formatted = pages.map(async ([path, text]): Promise<[string, string]> => [
    path,
    await format(text, { ...options, parser: path.endsWith(".json") ? "json" : "markdown" }),
  ]);
  return new Map(await Promise.all(formatted));
}

/** "media-check.md" */
function fileOf({ name }: Entry): string {
  return `${name.replace(" ", "-")}.md`;
}

function overview(): string {
  const rows = SHOWN.map((entry) => [`[${entry.name}](${fileOf(entry)})`, entry.summary]);
  return `${MARK}

# The commands, in the order of a move

${table(["command", "description"], rows)}

Every command has \`--help\` with an example, and \`--json\` for scripts ([its output](../json.md)). See also the list of
[exit codes](../exit-codes.md), and what each [finding](../findings/README.md) means.
`;
}

async function page(entry: Entry, line: Commander): Promise<string> {
  assertMarked(entry, await mustBeGiven(entry));
  const described = entry.options.flatMap(({ options }) => options.map(({ flags }) => flags));
  const general = line
    .createHelp()
    .visibleOptions(line)
    .filter(({ flags }) => !described.includes(flags))
    .map(({ flags, description }) => ({ flags, about: description }));
  const { argument: first, secondArgument: second } = entry;
  const given = [
    ...(first
      ? [
          [
            code(first.optional ? `[${first.name}]` : `<${first.name}>`),
            first.about,
            first.optional ? "" : REQUIRED,
          ],
        ]
      : []),
    ...(second ? [[code(`<${second.name}>`), second.about, REQUIRED]] : []),
  ];
  const argument = given.length === 0 ? "" : `${table(["argument", "what it is for", "default"], given)}\n\n`;
  const groups = [...entry.options, { heading: "General", options: general }].map(
    ({ heading, options }) =>
      `### ${heading}\n\n${table(["option", "what it is for", "default"], options.map(rowOf))}`,
  );
  const codes = BY_COMMAND[entry.name];
  if (!codes) throw new Error(`scripts/exit-code-meanings.ts does not say how ${entry.name} may end`);
  return `${MARK}

# synlift ${entry.name}

${entry.summary}

\`\`\`text
synlift ${entry.name} ${line.usage()}
\`\`\`

## Options

${argument}${groups.join("\n\n")}

## Example

\`\`\`sh
${folded(entry.example)}
\`\`\`

## Exit codes

0 for success, ${ANY_COMMAND.map((name) => `${EXIT_CODES[name]} (\`${name}\`)`).join(", ")} as from any command, and:

${table(
  ["code", "name", "meaning"],
  codes.map((name) => [String(EXIT_CODES[name]), code(name), MEANINGS[name].means]),
)}

What to do, and the codes for signals: [exit codes](../exit-codes.md).
`;
}

function rowOf({ flags, about, many, required, default: value }: Option): string[] {
  return [code(flags), many ? `${about} (repeatable)` : about, required ? REQUIRED : (value ?? "")];
}

/** Throws unless the options that are marked as required are those that the command's own check demands. */
function assertMarked({ name, options }: Entry, needed: ReadonlySet<string>): void {
  const marked = options
    .flatMap((group) => group.options)
    .filter(({ required }) => required)
    .map(({ flags }) => flags.split(" ")[0]!);
  const wrong = [...new Set([...marked, ...needed])].filter(
    (flag) => !marked.includes(flag) || !needed.has(flag),
  );
  if (wrong.length > 0)
    throw new Error(`${name}: ${wrong.join(", ")}: either marked as required or required, but not both`);
}

function exitCodes(): string {
  const groups: readonly [string, number, number][] = [
    ["Command line", 2, 9],
    ["Source and configuration", 10, 19],
    ["Bundle", 20, 29],
    ["Programs and host", 30, 39],
    ["Target", 40, 49],
    ["Passphrase and keys", 50, 59],
    ["Checks, and copies that follow", 60, 69],
  ];
  const names = Object.keys(EXIT_CODES) as ErrorCode[];
  const homeless = names.filter((name) => !groups.some(([, from, to]) => isIn(EXIT_CODES[name], from, to)));
  if (homeless.length > 0) throw new Error(`no group of exit codes for ${homeless.join(", ")}`);
  const sections = groups.map(([title, from, to]) => {
    const rows = names
      .filter((name) => isIn(EXIT_CODES[name], from, to))
      .map((name) => [String(EXIT_CODES[name]), code(name), MEANINGS[name].means, MEANINGS[name].then]);
    return `## ${title}\n\n${table(["code", "name", "meaning", "what to do"], rows)}`;
  });
  return `${MARK}

# Exit codes

The meaning of a code never changes. New codes may be added; a script should treat an unknown code as a failure. The name is
in the error that \`--json\` prints ([its output](json.md)).

0 is success. 1 is an unexpected error, a bug, printed with the lines to report. A command that was ended by a signal has 128
plus the signal's number: 129 (SIGHUP), 130 (SIGINT, Ctrl-C), 143 (SIGTERM); the same command continues where it stopped.

${sections.join("\n\n")}
`;
}

/** The page with its graphs made anew. Throws when the page has no place for them. */
async function house(): Promise<string> {
  const [before, rest] = (found(HOUSE) ?? "").split(GRAPHS_BEGIN);
  const after = rest?.split(GRAPHS_END)[1];
  if (before === undefined || after === undefined)
    throw new Error(`${HOUSE} lacks the two comments between which its graphs are written`);
  return `${before}${GRAPHS_BEGIN}\n\n${await roomGraphs(ROOT)}\n\n${GRAPHS_END}${after}`;
}

/** The options without which a command refuses to begin, as its own check of an empty call reports them. */
async function mustBeGiven(entry: Entry): Promise<ReadonlySet<string>> {
  try {
    // What was typed is checked before the system is touched, so none is needed here.
    await entry.run({}, {} as System, {} as ProgressView);
  } catch (error) {
    if (error instanceof MigrationError && error.code === "bad-usage")
      return new Set([...error.message.matchAll(/(--[a-z-]+): must be given/g)].map(([, name]) => name!));
    if (!(error instanceof TypeError)) throw error;
  }
  return new Set();
}

/** A long line of a shell, folded before its options. */
function folded(example: string): string {
  return example.length <= 100 ? example : example.replaceAll(/ (?=--)/g, " \\\n  ");
}

function found(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), "utf8");
  } catch {
    return undefined;
  }
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function code(text: string): string {
  return `\`${text}\``;
}

function isIn(number: number, from: number, to: number): boolean {
  return number >= from && number <= to;
}
