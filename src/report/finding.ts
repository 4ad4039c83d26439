/** In increasing severity. A warning can be accepted by its id; a blocker says what would resolve it. */
export type Level = "ok" | "note" | "warning" | "blocker";

/** A result of a check, for users and for scripts. Never contains a secret. */
export interface Finding {
  /** Stable across versions, lower case with hyphens: what `--accept` and scripts refer to. */
  readonly id: string;
  readonly level: Level;
  /** One sentence: lower case, no full stop, naming the thing and its path. */
  readonly sentence: string;
  /** The details, one line each. */
  readonly evidence?: readonly string[];
  /** The evidence is a diff whose lines begin with `-` or `+`. It is never shortened, because part of a diff misleads. */
  readonly isDiff?: boolean;
  /** What to do about it. */
  readonly hint?: string;
}

const ORDER: readonly Level[] = ["ok", "note", "warning", "blocker"];

/** The most severe level among the findings; "ok" when there are none. */
export function worstLevel(findings: readonly Finding[]): Level {
  return findings.reduce<Level>(
    (level, finding) => (ORDER.indexOf(finding.level) > ORDER.indexOf(level) ? finding.level : level),
    "ok",
  );
}

/** The warnings among these, as sentences to be said before something cannot be taken back: evidence in part, and what to do. */
export function describeWarnings(findings: readonly Finding[]): string[] {
  return findings
    .filter(({ level }) => level === "warning")
    .map(({ sentence, evidence = [], hint }) => {
      const more = evidence.length > NAMED ? [`and ${evidence.length - NAMED} more`] : [];
      const all = [sentence, [...evidence.slice(0, NAMED), ...more].join("; ")];
      return [all.filter((part) => part !== "").join(": "), ...(hint === undefined ? [] : [hint])].join("; ");
    });
}

/** Lines of evidence in such a sentence. */
const NAMED = 5;
