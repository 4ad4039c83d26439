import { type CheckResult, CHECKS } from "./result.ts";

/**
 * The results for programs that read TAP (Test Anything Protocol, version 14): a line for each check at each place. A note is
 * a test that was skipped.
 */
export function tapText(results: readonly CheckResult[]): string {
  const lines = results.flatMap(({ check, subject, level, said }, index) => {
    const failed = level === "warning" || level === "blocker";
    const title = `${failed ? "not ok" : "ok"} ${index + 1} - ${clean(`${check}: ${subject}`)}`;
    if (level === "note") return [`${title} # SKIP ${clean(said)}`];
    if (!failed) return [title];
    return [
      title,
      "  ---",
      `  severity: ${level}`,
      `  message: ${JSON.stringify(said)}`,
      `  hint: ${JSON.stringify(CHECKS[check].hint)}`,
      "  ...",
    ];
  });
  return `${["TAP version 14", `1..${results.length}`, ...lines].join("\n")}\n`;
}

/** On one line, and without what begins a directive. */
const clean = (text: string) => text.replaceAll(/[\s\u0000-\u001f\u007f]+/g, " ").replaceAll("#", "\\#");
