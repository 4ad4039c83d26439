import type { Finding, Level } from "./finding.ts";

/** The content of a report page. All texts are plain text and never contain a secret. */
export interface Page {
  readonly title: string;
  /** One or two sentences below the title. */
  readonly lead: string;
  /** The summary for readers who read nothing else. */
  readonly verdict: { readonly level: Level; readonly sentence: string };
  readonly facts: readonly Fact[];
  readonly findings: readonly Finding[];
  readonly timeline?: Timeline;
  readonly runbook?: Runbook;
  readonly bars: readonly Bars[];
  readonly columns?: readonly Columns[];
  /** The footer: which program made this page, and when. */
  readonly footer: string;
}

export interface Fact {
  readonly label: string;
  readonly value: string;
}

/** Rows to compare with each other: the longest bar is the greatest value. */
export interface Bars {
  readonly title: string;
  /** A sentence on the origin of the numbers, or on what they leave out. */
  readonly note?: string;
  readonly rows: readonly BarRow[];
}

export interface BarRow extends Amount {
  readonly label: string;
}

interface Amount {
  readonly value: number;
  /** The formatted value: "1.4 GiB". */
  readonly text: string;
}

/** Amounts over time, the oldest first: one column each, with one or two stacked values. */
export interface Columns {
  readonly title: string;
  readonly note?: string;
  /** The names of the values, from bottom to top: one or two, as many as each column has values. */
  readonly series: readonly string[];
  /** Up to 24 fit on a phone. */
  readonly columns: readonly Column[];
}

export interface Column {
  /** Short, because the column is narrow: "2024", "3 to 6 months". */
  readonly label: string;
  /** One per series, in its order. */
  readonly values: readonly Amount[];
  /** The formatted total of the column. Only needed with two values. */
  readonly total?: string;
}

/** A sequence of stages and how long each takes. */
export interface Timeline {
  readonly title: string;
  /** The basis of the numbers: "measured on this host, assuming 100 Mbit/s between the hosts". */
  readonly note?: string;
  /** Stages while the server is still running: a separate bar, not included in the sum. */
  readonly before?: readonly Stage[];
  /** The stages of the outage. */
  readonly stages: readonly Stage[];
}

export interface Stage {
  readonly label: string;
  readonly seconds: number;
}

/** The instructions for a move: what to do and when, in order. */
export interface Runbook {
  readonly title: string;
  readonly note?: string;
  readonly steps: readonly RunbookStep[];
}

export interface RunbookStep {
  /** Formatted: "Tuesday 24 November, 02:00 UTC", "two days before". */
  readonly when?: string;
  readonly title: string;
  /** Where to do it: "on the old host". */
  readonly where?: string;
  readonly text?: string;
  /** Commands to copy; each may have several lines. */
  readonly commands?: readonly string[];
  /** "now": can be done at once; "outage": the server is unavailable; "no-return": cannot be undone. */
  readonly tone?: "now" | "outage" | "no-return";
}
