// The pages of docs/findings/, from the ids in src/ and the explanations in scripts/findings/.
import type { Level } from "../src/report/finding.ts";
import { type MadeFinding, type MadeFindings } from "./finding-ids.ts";
import { AREAS, OTHER_IDS, PUT_TOGETHER } from "./findings/areas.ts";
import type { FindingArea, FindingMeaning } from "./findings/meaning.ts";

/** Commands whose `--accept` takes every warning: the calls of `acceptWarnings` with all findings. */
const ACCEPTING = [
  ...["plan", "users", "media check", "media export", "sign-out test"],
  ...["delegation show", "delegation files", "delegation check"],
];

/** Commands that others start: what they find is shown by these. */
const SHOWN_BY: Readonly<Record<string, string | undefined>> = { "pull-sender": "pull", standing: undefined };

type Facts = Pick<MadeFinding, "levels" | "commands" | "hasSuffix">;

/** A page's name → its text in Markdown. `commands` are all that have a page, in the order of a move. Throws when src/ and the explanations do not fit. */
export function findingPages(made: MadeFindings, commands: readonly string[]): Map<string, string> {
  const faults = findingFaults(made);
  if (faults.length > 0) throw new Error(`scripts/findings/ does not fit src/:\n${faults.join("\n")}`);
  const facts = factsOf(made);
  const pages = new Map([["README.md", index(facts)]]);
  for (const area of AREAS) pages.set(`${area.page}.md`, page(area, facts, commands));
  return pages;
}

/** What src/ makes and nobody explains, and the other way round; empty when all fits. */
export function findingFaults(made: MadeFindings): string[] {
  const facts = factsOf(made);
  const explained = new Map<string, FindingMeaning>();
  const faults: string[] = [];
  for (const { findings } of AREAS)
    for (const [id, meaning] of Object.entries(findings)) {
      if (explained.has(id)) faults.push(`${id} is explained twice`);
      explained.set(id, meaning);
      const found = facts.get(id);
      if (!found) faults.push(`${id} is explained, and nothing in src/ makes it`);
      else if (found.levels.length === 0 && !meaning.levels) faults.push(`${id} has no level`);
      if (found?.hasSuffix && meaning.suffix === undefined) faults.push(`${id} has something after a colon`);
      if (found && !found.hasSuffix && meaning.suffix !== undefined)
        faults.push(`${id} has nothing after a colon`);
    }
  for (const id of facts.keys()) if (!explained.has(id)) faults.push(`${id} is not explained`);
  for (const place of made.unknown)
    if (!(place.split(":")[0]! in OTHER_IDS)) faults.push(`${place}: its id cannot be followed to its text`);
  return faults;
}

/** By entry: what is put together at run time counts for each entry that it can be. */
function factsOf({ findings, unknown }: MadeFindings): Map<string, Facts> {
  const facts = new Map<string, Facts>();
  for (const { id, ...found } of findings)
    for (const entry of id.includes("*") || id in PUT_TOGETHER ? (PUT_TOGETHER[id] ?? [id]) : [id]) {
      const before = facts.get(entry);
      facts.set(entry, {
        levels: [...new Set([...(before?.levels ?? []), ...found.levels])],
        commands: [...new Set([...(before?.commands ?? []), ...found.commands])],
        hasSuffix: found.hasSuffix || before?.hasSuffix === true || entry === "mas-secret",
      });
    }
  for (const place of unknown) {
    const entry = OTHER_IDS[place.split(":")[0]!];
    if (entry !== undefined) facts.set(entry, { levels: ["ok"], commands: ["status"], hasSuffix: false });
  }
  return facts;
}

function index(facts: ReadonlyMap<string, Facts>): string {
  const sections = AREAS.map(({ title, page: name, findings }) => {
    const rows = Object.entries(findings).map(([id, meaning]) => [
      `[${marked(shownId(id, meaning))}](${name}.md#${id})`,
      levelsOf(meaning, facts.get(id)!).join(", "),
      accepting(meaning, facts.get(id)!).length > 0 ? "yes" : "",
    ]);
    return `## [${title}](${name}.md)\n\n${table(["id", "levels", "can be accepted"], rows)}`;
  });
  return `# Findings

Every check of synlift ends in findings. Each has an id that stays the same across versions, and one of four levels:

- **ok**: checked, and fine.
- **note**: good to know; nothing has to be done.
- **warning**: somebody should decide. \`plan\`, \`users\`, \`media\`, \`delegation\` and \`sign-out test\` end with exit code 60
  (\`found-warnings\`) until it is cleared, or accepted with \`--accept\` and its id. An accepted one is shown as a note.
- **blocker**: the move would fail, or something would be lost. It cannot be accepted, except where its page says so.

Where an id goes on after a colon, with a setting or a role, \`--accept\` takes it as it was printed. [The output for
scripts](../json.md) has the ids too.

${sections.join("\n\n")}
`;
}

function page(
  { title, about, findings }: FindingArea,
  facts: ReadonlyMap<string, Facts>,
  commands: readonly string[],
): string {
  const sections = Object.entries(findings).map(([id, meaning]) =>
    section(id, meaning, facts.get(id)!, commands),
  );
  return `# Findings: ${title}

${about} [All findings](README.md).

${sections.join("\n\n")}
`;
}

function section(id: string, meaning: FindingMeaning, facts: Facts, commands: readonly string[]): string {
  const { means, known, clears, suffix, shown } = meaning;
  const reported = commands.filter((name) =>
    facts.commands.some((one) => (one in SHOWN_BY ? SHOWN_BY[one] : one) === name),
  );
  const accepted = accepting(meaning, facts);
  const written =
    suffix === undefined
      ? []
      : [`- Id: ${code(shownId(id, meaning))}${suffix.includes(" ") ? `, ${suffix}` : ""}`];
  return [
    `## ${id}`,
    means,
    [
      ...(shown === undefined ? written : [`- Id: ${marked(shown)}`]),
      `- Levels: ${levelsOf(meaning, facts).join(", ")}`,
      `- How it is known: ${known}`,
      ...(clears === undefined ? [] : [`- What clears it: ${clears}`]),
      ...(accepted.length > 0
        ? [
            `- Can be accepted: with \`--accept ${shownId(id, meaning)}\`, by ${accepted.map((name) => linked(name, commands)).join(", ")}`,
          ]
        : []),
      `- Reported by: ${reported.map((name) => linked(name, commands)).join(", ")}`,
    ].join("\n"),
  ].join("\n\n");
}

function levelsOf({ levels }: FindingMeaning, facts: Facts): readonly Level[] {
  return levels ?? facts.levels;
}

function accepting(meaning: FindingMeaning, facts: Facts): string[] {
  const isWarning = levelsOf(meaning, facts).includes("warning");
  const all = isWarning ? ACCEPTING.filter((name) => facts.commands.includes(name)) : [];
  return [...new Set([...all, ...(meaning.accepts ?? [])])];
}

/** "file-missing:SETTING" */
function shownId(id: string, { suffix, shown }: FindingMeaning): string {
  if (shown !== undefined) return shown;
  return suffix === undefined ? id : `${id}:${suffix.includes(" ") ? "…" : suffix}`;
}

function linked(name: string, commands: readonly string[]): string {
  return commands.includes(name) ? `[${name}](../commands/${name.replace(" ", "-")}.md)` : name;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** An id as code; words as they are. */
const marked = (text: string) => (text.includes(" ") ? text : code(text));

const code = (text: string) => `\`${text}\``;
