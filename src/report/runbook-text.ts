import { barsText } from "./bars-text.ts";
import { escapeControls, wrap } from "./cells.ts";
import { type Paint, paint } from "./colour.ts";
import type { Runbook, RunbookStep, Stage, Timeline } from "./page.ts";
import { type DisplayOptions, noteText } from "./text.ts";
import { formatDuration } from "./units.ts";

/** What to do and when, as numbered steps. Commands have lines of their own and are never wrapped, for copying. */
export function runbookText(
  { note, steps: moments }: Pick<Runbook, "note" | "steps">,
  look: DisplayOptions,
): string {
  const steps = moments.map((moment, index) => stepText(moment, index + 1, look));
  return [...(note === undefined ? [] : [noteText(note, look)]), ...steps].join("\n");
}

/** The stages before and during the outage, as two groups of bars with their sums. */
export function timelineText(
  timeline: Pick<Timeline, "note" | "before" | "stages">,
  look: DisplayOptions,
): string {
  const { note, before = [], stages } = timeline;
  const lots = [
    ...(before.length > 0 ? [["before, while the server is running", before] as const] : []),
    ["the outage", stages] as const,
  ];
  return [
    ...lots.map(([name, lot]) => `${name}: ${formatDuration(sumOf(lot))}\n${stagesText(lot, look)}`),
    ...(note === undefined ? [] : [noteText(note, look)]),
  ].join("\n");
}

function stepText(
  { when, title, where, text, commands = [], tone }: RunbookStep,
  nr: number,
  look: DisplayOptions,
): string {
  const number = `${nr}. `;
  const indent = " ".repeat(number.length);
  const width = Math.min(100, Math.max(30, look.columns)) - indent.length;
  const plain = (words: string | undefined) =>
    words === undefined ? [] : wrap(escapeControls(words), width);
  const [first = "", ...rest] = plain(when === undefined ? title : `${when}: ${title}`);
  const lines = [
    ...(tone === undefined ? [] : [paint(TONES[tone].words, TONES[tone].paint, look.colour)]),
    ...plain(text),
    // The commands that follow are run there.
    ...plain(where === undefined || commands.length === 0 ? where : `${where}:`),
    ...commands.flatMap((command) => command.split(/\r?\n/).map((line) => `  ${cleanCommand(line)}`)),
  ];
  return [
    `${number}${paint(first, "bold", look.colour)}`,
    ...rest.map((line) => `${indent}${paint(line, "bold", look.colour)}`),
    ...lines.map((line) => `${indent}${line}`),
  ]
    .map((line) => `${line}\n`)
    .join("");
}

function stagesText(stages: readonly Stage[], look: DisplayOptions): string {
  return barsText(
    stages.map(({ label, seconds }) => ({ label, value: seconds, text: formatDuration(seconds) })),
    look,
  );
}

const cleanCommand = (line: string) => escapeControls(line).trimEnd();
const sumOf = (stages: readonly Stage[]) =>
  stages.reduce((sum, { seconds }) => sum + (Number.isFinite(seconds) && seconds > 0 ? seconds : 0), 0);

const TONES: Readonly<Record<NonNullable<RunbookStep["tone"]>, { words: string; paint: Paint }>> = {
  now: { words: "can be done now", paint: "cyan" },
  outage: { words: "OUTAGE", paint: "yellow" },
  "no-return": { words: "POINT OF NO RETURN", paint: "red" },
};
