import { type Markup, markup } from "./markup.ts";
import type { Bars, Stage, Timeline } from "./page.ts";
import { formatDuration } from "./units.ts";

/** Horizontal bars relative to the greatest value, each with its value as text. */
export function barsFigure({ title, note, rows }: Bars): Markup {
  const greatest = Math.max(0, ...rows.map(({ value }) => toDrawable(value)));
  const items = rows.map(({ label, value, text }) => {
    const share = greatest > 0 ? (toDrawable(value) / greatest) * 100 : 0;
    // A small value still has a visible bar.
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

/** A bar of the stages in their order, and one for the stages before the outage, each with a legend. */
export function timelineFigure({ title, note, before = [], stages }: Timeline): Markup {
  const outage = `${formatDuration(sumOf(stages))}${before.length > 0 ? " of outage" : " in all"}`;
  const parts =
    before.length === 0
      ? stagesBar(stages, 0)
      : markup`<div class="before">
<h3>Before, while the server is running: ${formatDuration(sumOf(before))}</h3>
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
    const share = total > 0 ? (toDrawable(seconds) / total) * 100 : 0;
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

/** A note below a figure in small print. */
export const noteLine = (note: string | undefined) =>
  note !== undefined && markup`<p class="remark" dir="auto">${note}</p>\n`;

/** A value that can be drawn: not NaN, infinite or negative. */
export const toDrawable = (value: number) => (Number.isFinite(value) && value > 0 ? value : 0);

const sumOf = (stages: readonly Stage[]) => stages.reduce((sum, { seconds }) => sum + toDrawable(seconds), 0);
const hue = (index: number) => `hue-${index % HUES}`;

/** Percent; a smaller segment has no room for its number on a phone. */
const LEGIBLE = 7;
/** The number of stage colours in the style sheet. */
const HUES = 8;
