import { formatCount } from "../../report/units.ts";
import { coveragePercent, ENOUGH, type Person } from "./person.ts";

/** Why somebody would lose messages, or why not: "no key backup". */
export function describeReadiness(person: Person): string {
  const { readiness, backupUnlocks, coverage } = person;
  const percent = coveragePercent(coverage);
  if (readiness === "none") return "no key backup";
  if (readiness === "opted-out") return "switched key backup off";
  if (readiness === "ready") return "ready";
  if (readiness === "not-needed") return "nothing to lose";
  const reasons = [
    ...(backupUnlocks ? [] : ["no new device can open it"]),
    ...(percent === null || percent >= ENOUGH * 100 ? [] : [`holds ${percent}% of the keys`]),
  ];
  return `key backup: ${reasons.length === 0 ? "empty" : reasons.join(", ")}`;
}

/** The day, in UTC: "2026-11-20"; "-" when never. */
export const formatDay = (time: number | null) =>
  time === null ? "-" : new Date(time).toISOString().slice(0, 10);

/** "1 guest", "3 guests". */
export const formatCounted = (count: number, one: string, many = `${one}s`) =>
  `${formatCount(count)} ${count === 1 ? one : many}`;
