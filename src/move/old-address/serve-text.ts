import { formatCount } from "../../report/units.ts";
import type { ServeResult } from "./serve.ts";

/** For scripts. */
export const serveDetails = ({ endpoints, counts, ended, served, brokenOff }: ServeResult) => ({
  endpoints: [...endpoints],
  ended,
  seconds: Math.round(served / 1000),
  requests: counts.requests,
  sessions: counts.sessions,
  sessionsComplete: counts.sessionsComplete,
  byPath: { ...counts.byPath },
  byClient: { ...counts.byClient },
  brokenOff,
});

/** For people: how much was answered, and to whom. */
export function serveLines({ counts, ended, served, brokenOff }: ServeResult): string[] {
  const minutes = Math.max(1, Math.round(served / 60_000));
  const sessions = `${counts.sessionsComplete ? "" : "more than "}${formatCount(counts.sessions)}`;
  return [
    "",
    `ended ${ended === "until" ? "at the date of --until" : "because it was asked to"}, after ${formatCount(minutes)} min`,
    `requests answered: ${formatCount(counts.requests)}, with ${sessions} different access tokens`,
    ...(brokenOff > 0
      ? [`requests broken off at the end, such as an upload: ${formatCount(brokenOff)}`]
      : []),
    ...table("by path", counts.byPath),
    ...table("by client", counts.byClient),
  ];
}

function table(title: string, counts: Readonly<Record<string, number>>): string[] {
  const rows = Object.entries(counts).toSorted(([, a], [, b]) => b - a);
  if (rows.length === 0) return [];
  return [`${title}:`, ...rows.map(([name, count]) => `  ${name}: ${formatCount(count)}`)];
}
