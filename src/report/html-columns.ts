import { escapeControls, truncate } from "./cells.ts";
import { noteLine, toDrawable } from "./html-figures.ts";
import { type Markup, markup } from "./markup.ts";
import type { Column, Columns } from "./page.ts";

/** Columns over time, relative to the tallest. The numbers are in a table below, which is also accessible. */
export function columnsFigure({ title, note, series, columns }: Columns): Markup {
  const heights = columns.map(({ values }) => values.reduce((sum, { value }) => sum + toDrawable(value), 0));
  const tallest = Math.max(0, ...heights);
  const legend = series.map(
    (name, index) =>
      markup`<li><span class="swatch series-${index}" aria-hidden="true"></span> <span dir="auto">${name}</span></li>`,
  );
  const drawn = columns.map((column, index) => {
    const share = tallest > 0 ? heights[index]! / tallest : 0;
    const isFirstTallest = share === 1 && heights.indexOf(tallest) === index;
    return columnMarkup(column, share, isFirstTallest && sideOf(index, columns.length));
  });
  const density = columns.length <= ROOMY ? "roomy" : "dense";
  return markup`<section class="figure">
<div class="heading"><h2 dir="auto">${title}</h2>${series.length > 1 && markup`<ul class="series">${legend}</ul>`}</div>
<div class="chart ${density}" aria-hidden="true" style="grid-template-columns:repeat(${Math.max(1, columns.length)},minmax(0,1fr))">
${drawn}${ticks(columns)}</div>
${figuresTable(series, columns)}${noteLine(note)}</section>
`;
}

/** The label of the tallest column must stay inside the chart, so it extends away from the nearer edge. */
const sideOf = (index: number, count: number) => {
  const place = (index + 0.5) / count;
  return place < 0.25 ? "tallest first" : place > 0.75 ? "tallest last" : "tallest";
};

function columnMarkup({ values, total }: Column, share: number, side: string | false): Markup {
  const parts = values.map(({ value }, index) => {
    const kind = toDrawable(value) > 0 ? "some " : "";
    return markup`<span class="${kind}series-${index}" style="flex-grow:${toDrawable(value)}"></span>`;
  });
  const text = truncate(
    escapeControls(total ?? values.map((amount) => amount.text).join(" + ")),
    VALUE_CELLS,
  );
  const kind = side === false ? "" : ` ${side}`;
  // HTML order is from top to bottom, while the series are listed from bottom to top.
  return markup`<span class="column${kind}"><span class="value">${text}</span><span class="stack" style="--share:${share.toFixed(4)}">${parts.toReversed()}</span></span>\n`;
}

/** Every column has a label if there is room; otherwise every second, third, …, depending on the screen size. */
function ticks(columns: readonly Column[]): Markup[] {
  return (["narrow", "wide"] as const).flatMap((size) => {
    const step = Math.max(1, Math.ceil(columns.length / LABELS[size]));
    return columns.flatMap(({ label }, index) => {
      const room = Math.min(step, columns.length - index);
      if (index % step !== 0 || (index > 0 && room * 2 <= step)) return [];
      const kind = step === 1 ? "centred" : "spread";
      return [
        markup`<span class="tick ${size} ${kind}" style="grid-column:${index + 1}/span ${room}">${truncate(escapeControls(label), LABEL_CELLS)}</span>\n`,
      ];
    });
  });
}

function figuresTable(series: readonly string[], columns: readonly Column[]): Markup {
  const hasTotals = series.length > 1 && columns.some(({ total }) => total !== undefined);
  const names = [...series, ...(hasTotals ? ["together"] : [])];
  const rows = columns.map(({ label, values, total }) => {
    const texts = [...values.map(({ text }) => text), ...(hasTotals ? [total ?? ""] : [])];
    const cells = texts.map((text) => markup`<td>${text}</td>`);
    return markup`<tr><th scope="row" dir="auto">${label}</th>${cells}</tr>\n`;
  });
  return markup`<details class="numbers"><summary>The figures</summary>
<table>
<thead><tr><td></td>${names.map((name) => markup`<th scope="col" dir="auto">${name}</th>`)}</tr></thead>
<tbody>
${rows}</tbody>
</table></details>
`;
}

/** How many labels fit side by side. */
const LABELS = { narrow: 6, wide: 12 } as const;
/** Up to how many columns each shows its value above it. */
const ROOMY = 8;
const LABEL_CELLS = 20;
const VALUE_CELLS = 20;
