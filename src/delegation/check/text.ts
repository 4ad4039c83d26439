import type { CheckResult } from "./result.ts";

/** The result in sentences; the findings have the details. */
export function describeCheck(serverName: string, results: readonly CheckResult[]): string[] {
  const failed = results.filter(({ level }) => level === "warning" || level === "blocker").length;
  const skipped = results.filter(({ level }) => level === "note").length;
  const parts = [
    `${results.length - failed - skipped} as expected`,
    ...(failed > 0 ? [`${failed} not`] : []),
    ...(skipped > 0 ? [`${skipped} not compared`] : []),
  ];
  return [`${results.length} checks of ${serverName}, each at each address: ${parts.join(", ")}`];
}

/** The result for scripts; part of the contract of `delegation check --json`. */
export const checkDetails = (serverName: string, results: readonly CheckResult[]) => ({
  serverName,
  checks: results.map(({ check, subject, level, said, until }) => ({
    check,
    subject,
    level,
    said,
    until: until === undefined ? null : new Date(until).toISOString(),
  })),
});
