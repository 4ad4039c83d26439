import { escapeControls, pad, truncate, widthOf } from "./cells.ts";
import { paint } from "./colour.ts";
import { describeTimeLeft } from "./progress-text.ts";
import type { RunningTask } from "./running-tasks.ts";
import { formatAmount, formatRate, formatShare, percentOf } from "./units.ts";

/** A line as it was drawn, with its width in terminal cells, without colour codes. */
export interface DrawnLine {
  readonly text: string;
  readonly cells: number;
}

/**
 * One line for each task, in columns, none wider than `width`. Name and progress are always shown; a narrow terminal
 * shows fewer of the other columns.
 */
export function barLines(works: readonly RunningTask[], width: number, colour: boolean): DrawnLine[] {
  const rows = works.map(rowOf);
  const layout = LAYOUTS.find((columns) => neededBy(columns, rows, width) <= width) ?? LAYOUTS.at(-1)!;
  const barWidth = Math.min(BAR.most, BAR.least + width - neededBy(layout, rows, width));

  return rows.map((row) => {
    const cells = layout.map((column) => {
      if (column === "bar") return barOf(row.fraction, barWidth);
      const room = widthIn(column, layout, rows, width);
      return column === "label"
        ? pad(truncate(row.label, room), room)
        : pad(textIn(column, row, layout), room, "left");
    });
    const plain = cells.join(GAP);
    // What still doesn't fit is truncated, without colour: truncating a colour code would leave it switched on.
    if (widthOf(plain) > width)
      return { text: truncate(plain, width), cells: widthOf(truncate(plain, width)) };
    const painted = cells.map((cell, index) =>
      layout[index] === "bar" ? paint(cell, "cyan", colour) : cell,
    );
    return { text: painted.join(GAP), cells: widthOf(plain) };
  });
}

function neededBy(layout: Layout, rows: readonly Row[], width: number): number {
  const gaps = GAP.length * (layout.length - 1);
  return layout.reduce((sum, column) => sum + widthIn(column, layout, rows, width), gaps);
}

function widthIn(column: Column, layout: Layout, rows: readonly Row[], width: number): number {
  if (column === "bar") return BAR.least;
  const widest = Math.max(LEAST[column], ...rows.map((row) => widthOf(textIn(column, row, layout))));
  return column === "label" ? Math.min(widest, Math.max(8, Math.floor(width / 3))) : widest;
}

/** Without a percentage and without an amount column, the amount is shown instead of the percentage. */
function textIn(column: Exclude<Column, "bar">, row: Row, layout: Layout): string {
  return column === "far" && row.far === "" && !layout.includes("amount") ? row.amount : row[column];
}

type Column = "label" | "bar" | "far" | "amount" | "rate" | "left";
type Layout = readonly Column[];

interface Row extends Readonly<Record<Exclude<Column, "bar">, string>> {
  /** 0 to 1; undefined when the total is unknown. */
  readonly fraction: number | undefined;
}

function rowOf(running: RunningTask): Row {
  const { label, unit, total } = running.work;
  const { done, rate } = running;
  const percent = percentOf(done, total);
  const known = percent !== undefined && total !== undefined;
  return {
    label: escapeControls(label),
    fraction: !known ? undefined : total === 0 ? 1 : done / total,
    far: known ? `${percent}%` : "",
    amount: known ? formatShare(done, total, unit) : formatAmount(done, unit),
    rate: formatRate(rate, unit),
    left: describeTimeLeft(running),
  };
}

function barOf(fraction: number | undefined, width: number): string {
  const inside = width - 2;
  // Without a known total there is no bar.
  if (fraction === undefined) return " ".repeat(width);
  const filled = Math.floor(fraction * inside);
  const tip = filled < inside ? ">" : "";
  return `[${("=".repeat(filled) + tip).padEnd(inside)}]`;
}

const LAYOUTS: readonly Layout[] = [
  ["label", "bar", "far", "amount", "rate", "left"],
  ["label", "bar", "far", "amount", "left"],
  ["label", "far", "amount", "left"],
  ["label", "bar", "far", "left"],
  ["label", "far", "left"],
  ["label", "far"],
];

/** Minimum widths, so that columns don't move when numbers grow. */
const LEAST = { label: 0, far: 4, amount: 13, rate: 10, left: 15 } as const;
const BAR = { least: 8, most: 32 } as const;
const GAP = "  ";
