import { MigrationError } from "../errors.ts";
import { quoteShellWord } from "../system/shell-quoting.ts";
import { type Finding, worstLevel } from "./finding.ts";

/** Turns accepted warnings into notes, by id. An id that matches no warning is reported in a note. */
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
      id: "accept-unused",
      level: "note",
      sentence: `--accept had no effect for ${idle.join(", ")}`,
      evidence: idle.map((id) =>
        blocked.includes(id) ? `${id} is a blocker, which cannot be accepted` : `there is no warning ${id}`,
      ),
    },
  ];
}

/** More than these are not repeated as options: each warning shows its id. */
const OPTIONS_SHOWN = 3;

const howToAccept = (ids: readonly string[]) =>
  ids.length > OPTIONS_SHOWN
    ? "--accept with each one's id, which is in brackets above"
    : ids.map((id) => `--accept ${quoteShellWord(id)}`).join(" ");

/** The error for findings that are blockers or unaccepted warnings: `found-blockers` or `found-warnings`; else undefined. */
export function failureForFindings(findings: readonly Finding[]): MigrationError | undefined {
  const level = worstLevel(findings);
  if (level !== "warning" && level !== "blocker") return undefined;
  const ids = [...new Set(findings.filter((finding) => finding.level === level).map(({ id }) => id))];
  return level === "blocker"
    ? new MigrationError("found-blockers", `there are blockers: ${ids.join(", ")}`, {
        hint: "resolve each of them as its hint says, then run the same command again",
      })
    : new MigrationError("found-warnings", `there are warnings that are not accepted: ${ids.join(", ")}`, {
        hint: `follow the hints, or accept the warnings: ${howToAccept(ids)}`,
      });
}
