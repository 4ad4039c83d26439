import type { Finding, Level } from "./finding.ts";
import { describeLevelCounts, LEVELS } from "./level-counts.ts";
import { type Markup, markup } from "./markup.ts";

/** The most severe first, because the top of a page is seen first. */
export function findingsSection(findings: readonly Finding[]): Markup {
  const groups = LEVELS.toReversed()
    .map((level) => findings.filter((finding) => finding.level === level))
    .filter((group) => group.length > 0);
  return markup`<section class="findings">
<div class="heading"><h2>Findings</h2><p>${describeLevelCounts(findings)}</p></div>
${groups.map((group) => levelGroup(group[0]!.level, group))}</section>
`;
}

/** A decorative symbol; the text beside it says the same. */
export const mark = (level: Level) => markup`<span class="mark" aria-hidden="true">${MARKS[level]}</span>`;

function levelGroup(level: Level, findings: readonly Finding[]): Markup {
  const heading = markup`<h3>${GROUPS[level]} <span class="count">${findings.length}</span></h3>`;
  const list = markup`<ul class="group">\n${findings.map(findingItem)}</ul>`;
  if (level === "warning" || level === "blocker")
    return markup`<div class="level ${level}">${heading}\n${list}</div>\n`;
  // Long lists of findings that need no action are collapsed, so that they do not hide the rest.
  const open = findings.length <= FEW[level] && markup` open`;
  return markup`<details class="level ${level}"${open}><summary>${heading}</summary>\n${list}</details>\n`;
}

function findingItem({ id, level, sentence, evidence = [], hint }: Finding): Markup {
  const advice = hint !== undefined && markup`<p class="hint" dir="auto"><b>What to do:</b> ${hint}</p>\n`;
  return markup`<li class="finding ${level}">
${mark(level)}
<div>
<p class="sentence" dir="auto">${sentence}</p>
${advice}${evidence.length > 0 && evidenceList(evidence)}<p class="id">${id}</p>
</div>
</li>
`;
}

function evidenceList(evidence: readonly string[]): Markup {
  const lines = `${evidence.length} ${evidence.length === 1 ? "line" : "lines"} of evidence`;
  return markup`<details class="evidence"><summary>${lines}</summary>
<ul>${evidence.map((line) => markup`<li dir="auto">${line}</li>`)}</ul></details>
`;
}

const MARKS: Readonly<Record<Level, string>> = { ok: "✓", note: "i", warning: "!", blocker: "✕" };
const GROUPS: Readonly<Record<Level, string>> = {
  ok: "In order",
  note: "Worth knowing",
  warning: "Warnings",
  blocker: "Blockers",
};
/** Up to how many are shown expanded. */
const FEW = { ok: 8, note: 8 } as const;
