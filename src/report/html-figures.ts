import { markup, type Markup } from "./markup.ts";
import type { Bars, Timeline } from "./page.ts";
import { formatDuration } from "./units.ts";

/** Horizontal bars, drawn as shares of the greatest value. The figures beside them carry the meaning. */
export function barsFigure({ title, rows }: Bars): Markup {
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
</section>
`;
}

/** One bar made of the stages in their order, with a legend that says in words what the bar shows. */
export function timelineFigure({ title, stages }: Timeline): Markup {
  const total = stages.reduce((sum, { seconds }) => sum + sane(seconds), 0);
  const segments = stages.map(({ seconds }, index) => {
    const share = total > 0 ? (sane(seconds) / total) * 100 : 0;
    const number = share >= LEGIBLE && markup`${index + 1}`;
    return markup`<span class="${hue(index)}" style="flex-grow:${share.toFixed(2)}">${number}</span>`;
  });
  const legend = stages.map(({ label, seconds }, index) => {
    const swatch = markup`<span class="swatch ${hue(index)}" aria-hidden="true">${index + 1}</span>`;
    const name = markup`<span class="name" dir="auto">${label}</span>`;
    return markup`<li>${swatch} ${name} <span class="text">${formatDuration(seconds)}</span></li>\n`;
  });
  return markup`<section class="figure">
<div class="heading"><h2 dir="auto">${title}</h2><p>${formatDuration(total)} in all</p></div>
<div class="timeline" aria-hidden="true">${segments}</div>
<ol class="legend">
${legend}</ol>
</section>
`;
}

const sane = (value: number) => (Number.isFinite(value) && value > 0 ? value : 0);
const hue = (index: number) => `hue-${index % HUES}`;

/** Percent: below it a number has no room in its segment, on a phone. */
const LEGIBLE = 7;
/** How many colours the style sheet has for stages. */
const HUES = 8;
