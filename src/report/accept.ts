import { MigrationError } from "../errors.ts";
import { shellWord } from "../system/shell-word.ts";
import { type Finding, worst } from "./finding.ts";

/** Warnings that a person takes on, by id, come back as notes that say so. An id that was no warning's is told. */
export function acceptWarnings(findings: readonly Finding[], accepted: readonly string[]): Finding[] {
  const taken = findings.map((finding) =>
    finding.level === "warning" && accepted.includes(finding.id)
      ? { ...finding, level: "note" as const, sentence: `${finding.sentence} (accepted)` }
      : finding,
  );
  const idle = [...new Set(accepted)].filter(
    (id) => !findings.some((finding) => finding.id === id && finding.level === "warning"),
  );
  if (idle.length === 0) return taken;
  const blocked = idle.filter((id) =>
    findings.some((finding) => finding.id === id && finding.level === "blocker"),
  );
  return [
    ...taken,
    {
      id: "accept",
      level: "note",
      sentence: `nothing was accepted by ${idle.join(", ")}`,
      evidence: idle.map((id) =>
        blocked.includes(id) ? `${id} is a blocker, which must be cleared` : `there is no warning ${id} now`,
      ),
    },
  ];
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
        hint: `follow the hints, or take them on: ${ids.map((id) => `--accept ${shellWord(id)}`).join(" ")}`,
      });
}
