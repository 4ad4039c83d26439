import type { Calendar } from "../../delegation/files/calendar.ts";
import { type Finding, worstLevel } from "../../report/finding.ts";
import type { Page, Runbook } from "../../report/page.ts";
import { formatDuration } from "../../report/units.ts";
import { PROGRAM } from "../../system/version.ts";
import { formatDate } from "./dates.ts";
import { mediaBars, mediaColumns, outageTimeline, planFacts, tableBars } from "./figures.ts";
import type { PlanInspection } from "./look.ts";
import type { PlanQuestions } from "./questions.ts";

export interface PlanPageInput {
  readonly serverName: string;
  readonly looked: PlanInspection | undefined;
  readonly questions: PlanQuestions;
  readonly findings: readonly Finding[];
  readonly agenda: Runbook | undefined;
  /** Milliseconds since 1970; undefined when the address could not be inspected. */
  readonly safeFrom: number | undefined;
  /** Of the address, for the cut-over that is planned; undefined as `safeFrom` is. */
  readonly calendar: Calendar | undefined;
  readonly now: number;
}

/** The plan as an HTML page. Contains names and numbers, and no secrets. */
export function planPage({
  serverName,
  looked,
  questions,
  findings,
  agenda,
  safeFrom,
  calendar,
  now,
}: PlanPageInput): Page {
  const timeline = looked && outageTimeline(looked, questions);
  const bars = looked ? [tableBars(looked), mediaBars(looked)].filter((one) => one !== undefined) : [];
  const columns = looked && mediaColumns(looked);
  return {
    title: `Moving ${serverName}`,
    lead: "Whether the move will work, how long the outage will be, and what to do when. Nothing was changed.",
    verdict: { level: worstLevel(findings), sentence: verdictOf(findings, looked) },
    facts: [
      ...(looked ? planFacts(looked) : []),
      ...(safeFrom === undefined
        ? []
        : [{ label: "Address safe to move from", value: formatDate(safeFrom) }]),
      ...(calendar ? calendarFacts(calendar) : []),
    ],
    findings,
    ...(timeline ? { timeline } : {}),
    ...(agenda ? { runbook: agenda } : {}),
    bars,
    ...(columns ? { columns: [columns] } : {}),
    footer: `${PROGRAM}, ${formatDate(now)}`,
  };
}

/** The calendar of the address. */
const calendarFacts = ({ toLower, lowerBy, changeAt, keepUntil }: Calendar) => [
  {
    label: "TTLs and cache times lowered",
    value: toLower.length === 0 ? "already" : `by ${formatDate(lowerBy)}`,
  },
  { label: "Address changed", value: formatDate(changeAt) },
  { label: "Old address answers other servers until", value: formatDate(keepUntil) },
];

/** The conclusion, for a person who reads nothing else. */
function verdictOf(findings: readonly Finding[], looked: PlanInspection | undefined): string {
  const count = (level: Finding["level"]) => findings.filter((finding) => finding.level === level).length;
  const [blockers, warnings] = [count("blocker"), count("warning")];
  const outage =
    looked?.estimate === undefined
      ? ""
      : `, with an outage of about ${formatDuration(Math.ceil(looked.estimate.outageSeconds))}`;
  if (blockers > 0)
    return `${blockers === 1 ? "one blocker prevents" : `${blockers} blockers prevent`} the move; fix ${blockers === 1 ? "it" : "them"} first`;
  if (warnings > 0)
    return `the move will work${outage}; ${warnings === 1 ? "one warning needs" : `${warnings} warnings need`} a decision`;
  return `the move will work${outage}`;
}
