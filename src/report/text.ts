import { Interrupted, MigrationError } from "../errors.ts";
import { escapeControls, pad, truncate, widthOf, wrap } from "./cells.ts";
import { LEVEL_PAINT, paint } from "./colour.ts";
import type { Finding, Level } from "./finding.ts";
import { describeLevelCounts, LEVELS } from "./level-counts.ts";

/** How text is displayed. */
export interface DisplayOptions {
  /** Width in characters. */
  readonly columns: number;
  readonly colour: boolean;
}

/**
 * Findings as text, with a summary as the last line; ends with a line break.
 *
 * The most severe come last, because the end of the output is seen first. Warnings and blockers show the id by which
 * they can be accepted. Long evidence is shortened, except a diff; with `brief`, findings of level "ok" have no
 * evidence. The JSON output has all of it.
 */
export function findingsText(findings: readonly Finding[], look: DisplayOptions, brief = false): string {
  const ordered = LEVELS.flatMap((level) => findings.filter((finding) => finding.level === level));
  const blocks = ordered.map((finding) =>
    findingText(brief && finding.level === "ok" ? { ...finding, evidence: [] } : finding, look),
  );
  return `${blocks.join("")}${blocks.length > 0 ? "\n" : ""}${describeLevelCounts(findings)}\n`;
}

/** One finding, ending with a line break. */
export function findingText(finding: Finding, { columns, colour }: DisplayOptions): string {
  const { id, level, sentence, evidence = [], isDiff = false, hint } = finding;
  const width = textWidth(columns) - GUTTER;
  const named = level === "warning" || level === "blocker" ? `${sentence} [${id}]` : sentence;
  const isLong = evidence.length > EVIDENCE_LINES && !isDiff;
  const shown = isLong ? evidence.slice(0, EVIDENCE_LINES - 1) : evidence;
  const hidden = evidence.length - shown.length;
  const lines = [
    ...wrap(escapeControls(named), width),
    ...shown.flatMap((line) =>
      isDiff
        ? hanging(line.slice(0, 2), escapeControls(line.slice(2)), width)
        : hanging("- ", escapeControls(line), width),
    ),
    ...(hidden > 0 ? [`- … and ${hidden} more`] : []),
    ...(hint === undefined ? [] : hanging("hint: ", escapeControls(hint), width)),
  ];
  const word = paint(pad(WORDS[level], GUTTER), LEVEL_PAINT[level], colour);
  return lines.map((line, index) => `${index === 0 ? word : " ".repeat(GUTTER)}${line}\n`).join("");
}

/** A section of a longer text with its title; ends with a line break. An empty section is left out. */
export function sectionText(title: string, body: string, { columns, colour }: DisplayOptions): string {
  if (body.trim() === "") return "";
  const heading = truncate(escapeControls(title), textWidth(columns));
  const rule = "-".repeat(widthOf(heading));
  const ending = body.endsWith("\n") ? "" : "\n";
  return `${paint(heading, "bold", colour)}\n${paint(rule, "dim", colour)}\n${body}${ending}`;
}

/** Sentences, wrapped; ends with a line break. */
export function noteText(note: string, { columns }: DisplayOptions): string {
  return wrap(escapeControls(note), textWidth(columns))
    .map((line) => `${line}\n`)
    .join("");
}

/** An error as text, with its hint on a separate line; ends with a line break. */
export function errorText(error: unknown, { columns, colour }: DisplayOptions): string {
  const width = textWidth(columns);
  const message = error instanceof Error ? error.message : String(error);
  // Warnings are what the command was asked for: its answer, and no failure of its own.
  const isAnswer = error instanceof MigrationError && error.code === "found-warnings";
  const what =
    error instanceof Interrupted
      ? `${message}${error.hint === undefined ? "; run the same command again to continue" : ""}`
      : isAnswer
        ? message
        : `error: ${message}`;
  const hint = error instanceof MigrationError || error instanceof Interrupted ? error.hint : undefined;
  const [first, ...rest] = wrap(escapeControls(what), width);
  const lines = [isAnswer ? (first ?? "") : paint(first ?? "", "red", colour), ...rest];
  return [...lines, ...(hint === undefined ? [] : hanging("hint: ", escapeControls(hint), width))]
    .map((line) => `${line}\n`)
    .join("");
}

function hanging(mark: string, text: string, width: number): string[] {
  return wrap(text, width - mark.length).map(
    (line, index) => (index === 0 ? mark : " ".repeat(mark.length)) + line,
  );
}

// Wider lines are hard to read, and narrower ones leave no room beside the level.
const textWidth = (columns: number) => Math.min(100, Math.max(30, columns));

/** The longest level word and two spaces. */
const GUTTER = 9;
const EVIDENCE_LINES = 8;
const WORDS: Readonly<Record<Level, string>> = {
  ok: "ok",
  note: "note",
  warning: "warning",
  blocker: "BLOCKER",
};
