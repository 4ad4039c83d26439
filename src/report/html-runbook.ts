import { noteLine } from "./html-figures.ts";
import { Markup, markup } from "./markup.ts";
import type { Runbook, RunbookStep } from "./page.ts";

/** What to do and when, as steps on a timeline, with commands to copy. */
export function runbookFigure({ title, note, steps }: Runbook): Markup {
  const hasCommands = steps.some(({ commands = [] }) => commands.length > 0);
  return markup`<section class="agenda">
<div class="heading"><h2 dir="auto">${title}</h2></div>
${noteLine(note)}${hasCommands && markup`<p class="remark on-screen">A click on a command selects all of it.</p>\n`}<ol class="moments">
${steps.map(momentItem)}</ol>
</section>
`;
}

function momentItem({ when, title, where, text, commands = [], tone }: RunbookStep): Markup {
  const time = when !== undefined && markup`<p class="when" dir="auto">${when}</p>\n`;
  const chip = tone && markup` <span class="chip">${TONES[tone]}</span>`;
  const place = where !== undefined && markup`<p class="where" dir="auto">${where}</p>\n`;
  const words = text !== undefined && markup`<p dir="auto">${text}</p>\n`;
  return markup`<li class="moment ${tone ?? "later"}">
${time}<div>
<h3><span dir="auto">${title}</span>${chip}</h3>
${words}${place}${commands.map(commandBlock)}</div>
</li>
`;
}

/** Keeps the lines of a command and does not break words at hyphens, so that it can be copied exactly. */
function commandBlock(command: string): Markup {
  const lines = command.split(/\r?\n/).map((line) => {
    const words = line.split(/( +)/).filter((part) => part !== "");
    return words.map((word) => (word.startsWith(" ") ? word : wordMarkup(word))).join("");
  });
  return markup`<pre dir="ltr"><code>${new Markup(lines.join("\n"))}</code></pre>\n`;
}

/** A word that is longer than a line may be wrapped after a slash and similar characters. */
function wordMarkup(word: string): string {
  const parts = word.split(/(?<=[/=:,@])/).map((part) => markup`${part}`.text);
  return `<span>${parts.join("<wbr>")}</span>`;
}

const TONES: Readonly<Record<NonNullable<RunbookStep["tone"]>, string>> = {
  now: "can be done now",
  outage: "outage",
  "no-return": "point of no return",
};
