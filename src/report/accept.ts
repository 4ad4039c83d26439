import { MigrationError } from "../errors.ts";
import { worst, type Finding } from "./finding.ts";

/** Warnings that a person takes on, by id, come back as notes that say so. */
export function acceptWarnings(findings: readonly Finding[], accepted: readonly string[]): Finding[] {
  return findings.map((finding) =>
    finding.level === "warning" && accepted.includes(finding.id)
      ? { ...finding, level: "note", sentence: `${finding.sentence} (accepted)` }
      : finding,
  );
}

/** Why a look is no success although it was made: `found-blockers` or `found-warnings`; undefined when all is well. */
export function lookFailure(findings: readonly Finding[]): MigrationError | undefined {
  const level = worst(findings);
  if (level !== "warning" && level !== "blocker") return undefined;
  const ids = [...new Set(findings.filter((finding) => finding.level === level).map(({ id }) => id))];
  return level === "blocker"
    ? new MigrationError("found-blockers", `something would keep the move from working: ${ids.join(", ")}`, {
        hint: "clear each as its hint says, then look again",
      })
    : new MigrationError("found-warnings", `there are warnings that nobody has accepted: ${ids.join(", ")}`, {
        hint: `follow the hints, or take them on: ${ids.map((id) => `--accept ${id}`).join(" ")}`,
      });
}
