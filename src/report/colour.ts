import type { Level } from "./finding.ts";

/** How something looks in a terminal that shows colour. Colour never says anything that the words don't. */
export type Paint = "green" | "cyan" | "yellow" | "red" | "dim" | "bold";

/** Wraps a text in colour, or hands it back as it is when there is to be none. */
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
