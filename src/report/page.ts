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
  readonly timeline?: Timeline;
  readonly agenda?: Agenda;
  readonly bars: readonly Bars[];
  readonly columns?: readonly Columns[];
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
  /** A sentence on where the figures come from, or what they leave out. */
  readonly note?: string;
  readonly rows: readonly BarRow[];
}

export interface BarRow extends Amount {
  readonly label: string;
}

export interface Amount {
  readonly value: number;
  /** The value as a person reads it: "1.4 GiB". */
  readonly text: string;
}

/** Amounts over time, the oldest first: a column each, with up to two values on top of each other. */
export interface Columns {
  readonly title: string;
  readonly note?: string;
  /** What the values stand for, from the bottom up; as many names as a column has values: one or two. */
  readonly series: readonly string[];
  /** Up to 24 have room on a phone. */
  readonly columns: readonly Column[];
}

export interface Column {
  /** Short, since it stands below a narrow column: "2024", "3 to 6 months". */
  readonly label: string;
  /** One per series, in its order. */
  readonly values: readonly Amount[];
  /** All of the column, as a person reads it. Said where there are two values; one speaks for itself. */
  readonly total?: string;
}

/** What came after what, and how long each took. */
export interface Timeline {
  readonly title: string;
  /** What the figures rest on: "measured on this machine, assuming 100 Mbit/s between the hosts". */
  readonly note?: string;
  /** What is done while everything still runs: a bar of its own, and not in the sum. */
  readonly before?: readonly Stage[];
  /** The stages of the outage. */
  readonly stages: readonly Stage[];
}

export interface Stage {
  readonly label: string;
  readonly seconds: number;
}

/** What a person does and when, from the first moment to the last. */
export interface Agenda {
  readonly title: string;
  readonly note?: string;
  readonly moments: readonly Moment[];
}

export interface Moment {
  /** Already in words: "Tuesday 24 November, 02:00 UTC", "two days before". */
  readonly when?: string;
  readonly title: string;
  /** Where it is done: "on the old host". */
  readonly where?: string;
  readonly text?: string;
  /** Ready to paste, one each; a command may have several lines. */
  readonly commands?: readonly string[];
  /** "now": what can be done at once; "outage": people are without their server; "no-return": nothing undoes it. */
  readonly tone?: "now" | "outage" | "no-return";
}
