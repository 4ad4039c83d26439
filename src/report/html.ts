import { widthOf } from "./cells.ts";
import type { Level } from "./finding.ts";
import { columnsFigure } from "./html-columns.ts";
import { barsFigure, timelineFigure } from "./html-figures.ts";
import { findingsSection, mark } from "./html-findings.ts";
import { runbookFigure } from "./html-runbook.ts";
import { STYLE } from "./html-style.ts";
import { Markup, markup } from "./markup.ts";
import type { Fact, Page } from "./page.ts";

/**
 * A complete, self-contained HTML document: it needs no network, no script and no other file. Its
 * Content-Security-Policy forbids them, as a second protection in case of an escaping error.
 *
 * Problems come before measurements, and actions before statistics.
 */
export function pageHtml(page: Page): string {
  const { title, lead, verdict, facts, findings, timeline, runbook, bars, columns = [], footer } = page;
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
${findings.length > 0 && findingsSection(findings)}
${timeline && timelineFigure(timeline)}
${runbook && runbookFigure(runbook)}
${columns.map(columnsFigure)}
${bars.length > 0 && markup`<div class="figures">\n${bars.map(barsFigure)}</div>`}
</main>
<footer><p dir="auto">${footer}</p></footer>
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

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const VERDICTS: Readonly<Record<Level, string>> = {
  ok: "All good",
  note: "Good",
  warning: "Warnings",
  blocker: "Not yet",
};
/** The longest fact that fits in one column, in characters. */
const LONG = 26;
