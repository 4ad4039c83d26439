import { escapeControls, pad, truncate, widthOf } from "./cells.ts";
import { paint } from "./colour.ts";
import type { BarRow } from "./page.ts";
import type { DisplayOptions } from "./text.ts";

/**
 * Horizontal bars of "#" beside their labels and values, a line each, none wider than `look.columns` (of at least 20).
 * Long labels end in an ellipsis. On a narrow terminal the bars are left out, but not the values.
 */
export function barsText(rows: readonly BarRow[], look: DisplayOptions): string {
  const width = Math.min(100, Math.max(20, look.columns));
  const shown = rows.map(({ label, value, text }) => ({
    label: escapeControls(label),
    value: Number.isFinite(value) && value > 0 ? value : 0,
    text: escapeControls(text),
  }));
  const greatest = Math.max(0, ...shown.map(({ value }) => value));
  const texts = widest(
    shown.map(({ text }) => text),
    Math.floor(width * 0.6),
  );
  const labels = widest(
    shown.map(({ label }) => label),
    // On a narrow terminal a complete label is more useful than a short bar.
    Math.min(width < NARROW ? width : Math.floor(width * 0.45), width - texts - GAP.length),
  );
  const room = Math.min(BAR.most, width - labels - texts - 2 * GAP.length);
  return shown
    .map(({ label, value, text }) => {
      const words = `${pad(truncate(label, labels), labels)}${GAP}${pad(truncate(text, texts), texts, "left")}`;
      if (room < BAR.least || value === 0) return `${words.trimEnd()}\n`;
      // A small value is still visible.
      const length = Math.max(1, Math.round((value / greatest) * room));
      return `${words}${GAP}${paint("#".repeat(length), "cyan", look.colour)}\n`;
    })
    .join("");
}

const widest = (texts: readonly string[], most: number) => Math.min(most, Math.max(0, ...texts.map(widthOf)));

const GAP = "  ";
const NARROW = 60;
const BAR = { least: 8, most: 40 } as const;
