/** From harmless to final. A warning can be accepted by its id; a blocker says what would clear it. */
export type Level = "ok" | "note" | "warning" | "blocker";

/** Something that was noticed, for people and for scripts alike. Never holds a secret. */
export interface Finding {
  /** Stable across versions, lower case with hyphens: what `--accept` and scripts refer to. */
  readonly id: string;
  readonly level: Level;
  /** One sentence: lower case, no full stop, naming the thing and its path. */
  readonly sentence: string;
  /** What was seen, a line each. */
  readonly evidence?: readonly string[];
  /** The evidence is a diff, each line with its own `-` or `+`: to be shown whole, as half of one misleads. */
  readonly isDiff?: boolean;
  /** What to do about it. */
  readonly hint?: string;
}

const ORDER: readonly Level[] = ["ok", "note", "warning", "blocker"];

/** The gravest level among the findings; "ok" when there are none. */
export function worst(findings: readonly Finding[]): Level {
  return findings.reduce<Level>(
    (level, finding) => (ORDER.indexOf(finding.level) > ORDER.indexOf(level) ? finding.level : level),
    "ok",
  );
}
