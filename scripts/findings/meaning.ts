import type { Level } from "../../src/report/finding.ts";

/** What is not in the code of a finding: its explanation. Ids, levels and commands are read from src/. */
export interface FindingMeaning {
  /** What it says, and why it matters for a move. */
  readonly means: string;
  /** How synlift knows. */
  readonly known: string;
  /** What makes it go away; left out where there is nothing to clear. */
  readonly clears?: string;
  /** What stands after the colon of the id: "SETTING". */
  readonly suffix?: string;
  /** How the id is written, where it is not the entry's name. */
  readonly shown?: string;
  /** Commands whose `--accept` takes it, beside those that accept every warning. */
  readonly accepts?: readonly string[];
  /** Where src/ is too general to read the levels from it. */
  readonly levels?: readonly Level[];
}

export interface FindingArea {
  /** The page's name in docs/findings/, without .md. */
  readonly page: string;
  readonly title: string;
  /** One or two sentences at the top of the page. */
  readonly about: string;
  /** In the order of the page. */
  readonly findings: Readonly<Record<string, FindingMeaning>>;
}
