import { type Markup, markup } from "./markup.ts";
import type { Bars, Stage, Timeline } from "./page.ts";
import { formatDuration } from "./units.ts";

/** Horizontal bars, drawn as shares of the greatest value. The figures beside them carry the meaning. */
export function barsFigure({ title, note, rows }: Bars): Markup {
  const greatest = Math.max(0, ...rows.map(({ value }) => sane(value)));
  const items = rows.map(({ label, value, text }) => {
    const share = greatest > 0 ? (sane(value) / greatest) * 100 : 0;
    // A little is not nothing: it keeps a visible sliver.
    const kind = share > 0 ? "fill some" : "fill";
    const fill = markup`<span class="${kind}" style="width:${share.toFixed(2)}%"></span>`;
    const bar = markup`<span class="track" aria-hidden="true">${fill}</span>`;
    return markup`<div><dt dir="auto">${label}</dt><dd><span class="text">${text}</span>${bar}</dd></div>\n`;
  });
  return markup`<section class="figure">
<div class="heading"><h2 dir="auto">${title}</h2></div>
<dl class="bars">
${items}</dl>
${noteLine(note)}</section>
`;
}

/** A bar made of the stages in their order, and one for what comes before; their legends say in words what they show. */
export function timelineFigure({ title, note, before = [], stages }: Timeline): Markup {
  const outage = `${formatDuration(sumOf(stages))}${before.length > 0 ? " of outage" : " in all"}`;
  const parts =
    before.length === 0
      ? stagesBar(stages, 0)
      : markup`<div class="before">
<h3>Before, while everything runs: ${formatDuration(sumOf(before))}</h3>
${stagesBar(before, 0)}</div>
<div class="during">
<h3>The outage: ${formatDuration(sumOf(stages))}</h3>
${stagesBar(stages, before.length)}</div>
`;
  return markup`<section class="figure">
<div class="heading"><h2 dir="auto">${title}</h2><p>${outage}</p></div>
${parts}${noteLine(note)}</section>
`;
}

function stagesBar(stages: readonly Stage[], first: number): Markup {
  const total = sumOf(stages);
  const segments = stages.map(({ seconds }, index) => {
    const share = total > 0 ? (sane(seconds) / total) * 100 : 0;
    const number = share >= LEGIBLE && markup`${first + index + 1}`;
    return markup`<span class="${hue(index)}" style="flex-grow:${share.toFixed(2)}">${number}</span>`;
  });
  const legend = stages.map(({ label, seconds }, index) => {
    const swatch = markup`<span class="swatch ${hue(index)}" aria-hidden="true">${first + index + 1}</span>`;
    const name = markup`<span class="name" dir="auto">${label}</span>`;
    return markup`<li>${swatch} ${name} <span class="text">${formatDuration(seconds)}</span></li>\n`;
  });
  return markup`<div class="timeline" aria-hidden="true">${segments}</div>
<ol class="legend">
${legend}</ol>
`;
}

/** What a figure rests on, in small print below it. */
export const noteLine = (note: string | undefined) =>
  note !== undefined && markup`<p class="remark" dir="auto">${note}</p>\n`;

/** What can be drawn: no NaN, nothing endless, nothing below zero. */
export const sane = (value: number) => (Number.isFinite(value) && value > 0 ? value : 0);

const sumOf = (stages: readonly Stage[]) => stages.reduce((sum, { seconds }) => sum + sane(seconds), 0);
const hue = (index: number) => `hue-${index % HUES}`;

/** Percent: below it a number has no room in its segment, on a phone. */
const LEGIBLE = 7;
/** How many colours the style sheet has for stages. */
const HUES = 8;
