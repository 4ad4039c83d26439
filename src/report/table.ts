import { escapeControls, pad, truncate, widthOf, wrap } from "./cells.ts";
import { paint } from "./colour.ts";
import type { DisplayOptions } from "./text.ts";

export interface TableColumn {
  readonly name: string;
  /** "right" for numbers and sizes, which are never truncated. */
  readonly align?: "left" | "right";
}

/**
 * A table as text; every line ends with a line break and is no wider than `look.columns`.
 *
 * If there is not enough room, the widest texts are truncated with an ellipsis. If there is far too little, each row
 * becomes a block of "name: value" lines, in which nothing is truncated, empty cells are left out, and a word that is
 * longer than a line is not broken. Missing cells are empty.
 */
export function tableText(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  look: DisplayOptions,
): string {
  const names = columns.map(({ name }) => escapeControls(name));
  const cells = rows.map((row) => columns.map((_, index) => escapeControls(row[index] ?? "").trim()));
  // Not Math.max(...): a table may have more rows than a call can have arguments.
  const natural = names.map((name, index) =>
    cells.reduce((most, row) => Math.max(most, widthOf(row[index]!)), widthOf(name)),
  );
  const widths = shrunk(natural, columns, look.columns - GAP.length * (columns.length - 1));
  if (widths === undefined) return blocks(names, cells, look);

  const line = (row: readonly string[], how: (text: string) => string = (text) => text) =>
    `${row
      .map((text, index) => {
        const side = columns[index]!.align === "right" ? "left" : "right";
        const isLast = index === row.length - 1;
        const cell = truncate(text, widths[index]!);
        // No trailing spaces, which would be copied too.
        return how(isLast && side === "right" ? cell : pad(cell, widths[index]!, side));
      })
      .join(GAP)
      .trimEnd()}\n`;
  const rule = widths.map((width) => "-".repeat(width));
  return [
    line(names, (text) => paint(text, "bold", look.colour)),
    line(rule, (text) => paint(text, "dim", look.colour)),
    ...cells.map((row) => line(row)),
  ].join("");
}

/** Narrows the widest text column, cell by cell; undefined when a column would become too narrow. */
function shrunk(
  natural: readonly number[],
  columns: readonly TableColumn[],
  room: number,
): readonly number[] | undefined {
  const widths = [...natural];
  for (let over = widths.reduce((sum, width) => sum + width, 0) - room; over > 0; over -= 1) {
    const texts = [...widths.keys()].filter((index) => columns[index]!.align !== "right");
    const widest = texts.reduce((best, index) => (widths[index]! > (widths[best] ?? 0) ? index : best), -1);
    if (widest < 0 || widths[widest]! <= LEAST) return undefined;
    widths[widest]! -= 1;
  }
  return widths;
}

function blocks(
  names: readonly string[],
  cells: readonly (readonly string[])[],
  look: DisplayOptions,
): string {
  const lines = (text: string, index: number): string[] => {
    if (text === "") return [];
    const name = `${truncate(names[index]!, look.columns - 1)}:`;
    const painted = paint(name, "bold", look.colour);
    if (widthOf(name) + 1 + widthOf(text) <= look.columns) return [`${painted} ${text}\n`];
    const parts = wrap(text, Math.max(1, look.columns - INDENT.length));
    return [`${painted}\n`, ...parts.map((part) => `${INDENT}${part}\n`)];
  };
  const rows = cells.map((row) => row.flatMap(lines).join(""));
  return rows.filter((row) => row !== "").join("\n");
}

const GAP = "  ";
const INDENT = "  ";
/** Minimum width of a text column in cells. */
const LEAST = 12;
