import type { Finding, Level } from "./finding.ts";

/** In increasing severity. */
export const LEVELS: readonly Level[] = ["ok", "note", "warning", "blocker"];

/** The number of findings of each level, including 0. */
export function countLevels(findings: readonly Finding[]): Record<Level, number> {
  const counts: Record<Level, number> = { ok: 0, note: 0, warning: 0, blocker: 0 };
  for (const { level } of findings) counts[level] += 1;
  return counts;
}

/** The most severe first: "1 blocker, 2 warnings, 12 ok". */
export function describeLevelCounts(findings: readonly Finding[]): string {
  const counts = countLevels(findings);
  const parts = LEVELS.toReversed()
    .filter((level) => counts[level] > 0)
    .map((level) => `${counts[level]} ${level === "ok" || counts[level] === 1 ? level : `${level}s`}`);
  return parts.length === 0 ? "nothing to report" : parts.join(", ");
}
