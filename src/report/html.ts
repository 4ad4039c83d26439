import { widthOf } from "./cells.ts";
import type { Finding, Level } from "./finding.ts";
import { barsFigure, timelineFigure } from "./html-figures.ts";
import { STYLE } from "./html-style.ts";
import { markup, Markup } from "./markup.ts";
import type { Fact, Page } from "./page.ts";
import { LEVELS, tallyText } from "./tally.ts";

/**
 * A whole HTML document that stands alone: it needs no network, no script and no other file, and its
 * Content-Security-Policy forbids all of them, so that a text that slipped through the escaping could still do nothing.
 */
export function pageHtml({ title, lead, verdict, facts, findings, bars, timeline, foot }: Page): string {
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${new Markup(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<header>
<h1 dir="auto">${title}</h1>
<p class="lead" dir="auto">${lead}</p>
</header>
<main>
<section class="verdict ${verdict.level}" aria-label="Verdict">
${mark(verdict.level)}
<div><p class="word">${VERDICTS[verdict.level]}</p><p class="sentence" dir="auto">${verdict.sentence}</p></div>
</section>
${facts.length > 0 && factsList(facts)}
${timeline && timelineFigure(timeline)}
${bars.map(barsFigure)}
${findings.length > 0 && findingsSection(findings)}
</main>
<footer><p dir="auto">${foot}</p></footer>
</body>
</html>
`.text;
}

function factsList(facts: readonly Fact[]): Markup {
  const items = facts.map(({ label, value }) => {
    const kind = widthOf(value) > LONG ? "long" : "short";
    return markup`<div class="${kind}"><dt dir="auto">${label}</dt><dd dir="auto">${value}</dd></div>\n`;
  });
  return markup`<section aria-label="Facts"><dl class="facts">\n${items}</dl></section>`;
}

/** The gravest first: the top of a page is what a person sees. */
function findingsSection(findings: readonly Finding[]): Markup {
  const groups = LEVELS.toReversed()
    .map((level) => findings.filter((finding) => finding.level === level))
    .filter((group) => group.length > 0);
  return markup`<section class="findings">
<div class="heading"><h2>Findings</h2><p>${tallyText(findings)}</p></div>
${groups.map((group) => levelGroup(group[0]!.level, group))}</section>`;
}

function levelGroup(level: Level, findings: readonly Finding[]): Markup {
  const heading = markup`<h3>${GROUPS[level]} <span class="count">${findings.length}</span></h3>`;
  const list = markup`<ul class="group">\n${findings.map(findingItem)}</ul>`;
  if (level !== "ok") return markup`<div class="level">${heading}\n${list}</div>\n`;
  // What went well is there for whoever looks for it, but it must not push the rest out of sight.
  const open = findings.length <= FEW && markup` open`;
  return markup`<details class="level"${open}><summary>${heading}</summary>\n${list}</details>\n`;
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

/** A sign for the eye; the words beside it say the same. */
const mark = (level: Level) => markup`<span class="mark" aria-hidden="true">${MARKS[level]}</span>`;

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const MARKS: Readonly<Record<Level, string>> = { ok: "✓", note: "i", warning: "!", blocker: "✕" };
const VERDICTS: Readonly<Record<Level, string>> = {
  ok: "All good",
  note: "Good",
  warning: "With care",
  blocker: "Not yet",
};
const GROUPS: Readonly<Record<Level, string>> = {
  ok: "In order",
  note: "Worth knowing",
  warning: "Warnings",
  blocker: "Blockers",
};
/** How many good findings are shown without being asked for. */
const FEW = 8;
/** Characters of a fact that have room in one column. */
const LONG = 26;
