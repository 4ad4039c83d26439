import type { Level } from "./finding.ts";

/** A text style in a terminal with colour. Colour never carries information that the text lacks. */
export type Paint = "green" | "cyan" | "yellow" | "red" | "dim" | "bold";

/** Adds colour codes to a text, or returns it unchanged when `colour` is false. */
export function paint(text: string, how: Paint, colour: boolean): string {
  return colour && text !== "" ? `\u001b[${CODES[how]}m${text}\u001b[0m` : text;
}

export const LEVEL_PAINT: Readonly<Record<Level, Paint>> = {
  ok: "green",
  note: "cyan",
  warning: "yellow",
  blocker: "red",
};

const CODES: Readonly<Record<Paint, string>> = {
  green: "32",
  cyan: "36",
  yellow: "33",
  red: "1;31",
  dim: "2",
  bold: "1",
};
