import type { Finding } from "../../src/report/finding.ts";
import { findingsText } from "../../src/report/text.ts";

/** What a command shows of an outcome, and its details for scripts: for a golden text. */
export function outcomeText({
  findings,
  details,
  lines,
}: {
  readonly findings: readonly Finding[];
  readonly details: object;
  readonly lines: readonly string[];
}): string {
  const shown = findingsText(findings, { columns: 80, colour: false });
  return [shown, ...lines, "", JSON.stringify(details, undefined, 2), ""].join("\n");
}
