import type { Finding, Level } from "./finding.ts";

/** What a report page says, whatever it is about. Plain text throughout, and never a secret. */
export interface Page {
  readonly title: string;
  /** One or two sentences below the title. */
  readonly lead: string;
  /** What a person should take away who reads nothing else. */
  readonly verdict: { readonly level: Level; readonly sentence: string };
  readonly facts: readonly Fact[];
  readonly findings: readonly Finding[];
  readonly bars: readonly Bars[];
  readonly timeline?: Timeline;
  /** The small print: what made this page, and when. */
  readonly foot: string;
}

export interface Fact {
  readonly label: string;
  readonly value: string;
}

/** Rows to compare with each other: the longest bar is the greatest value. */
export interface Bars {
  readonly title: string;
  readonly rows: readonly BarRow[];
}

export interface BarRow {
  readonly label: string;
  readonly value: number;
  /** The value as a person reads it: "1.4 GiB". */
  readonly text: string;
}

/** What came after what, and how long each took. */
export interface Timeline {
  readonly title: string;
  readonly stages: readonly { readonly label: string; readonly seconds: number }[];
}
