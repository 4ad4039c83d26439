import { existsSync, readFileSync } from "node:fs";

/** A request that a server refused, or never answered. */
export interface Refusal {
  /** When the answer came. */
  readonly at: Date;
  /** The request and the answer. */
  readonly words: string;
}

/** Milliseconds before and after a refusal in which the server may have logged why. */
const AROUND_MS = 3_000;
const MOST_REFUSALS = 20;
/** The last lines of a traceback name the reason. */
const FIRST_LINES = 3;
const LAST_LINES = 12;

/** What was refused, and all that Synapse has logged around it: the file is gone when the test has ended. */
export function describeRefusals(refusals: readonly Refusal[], logFile: string | undefined): string {
  const shown = refusals.slice(0, MOST_REFUSALS);
  const log = logFile !== undefined && existsSync(logFile) ? readFileSync(logFile, "utf8") : "";
  const near = logEntries(log).filter(({ at }) =>
    shown.some((refusal) => Math.abs(refusal.at.getTime() - at.getTime()) <= AROUND_MS),
  );
  return [
    `${refusals.length} requests were refused:`,
    ...shown.map(({ at, words }) => `  ${at.toISOString()} ${words}`),
    near.length === 0 ? "the server's log has nothing around them" : "what the server's log has around them:",
    ...near.map(({ text }) => shortened(text)),
  ].join("\n");
}

interface LogEntry {
  readonly at: Date;
  readonly text: string;
}

/** An entry begins with its time, as Python's logging writes it; the lines of a traceback follow. */
function logEntries(log: string): LogEntry[] {
  return log.split(/^(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} )/m).flatMap((text) => {
    const time = /^(\S+) (\S+),(\d{3}) /.exec(text);
    return time ? [{ at: new Date(`${time[1]}T${time[2]}.${time[3]}`), text: text.trimEnd() }] : [];
  });
}

function shortened(text: string): string {
  const lines = text.split("\n");
  if (lines.length <= FIRST_LINES + LAST_LINES) return text;
  return [...lines.slice(0, FIRST_LINES), "  …", ...lines.slice(-LAST_LINES)].join("\n");
}
