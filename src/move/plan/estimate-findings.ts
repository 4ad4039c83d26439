import { IGZIP_PACKAGE } from "../../pipeline/gzip-program.ts";
import type { Finding } from "../../report/finding.ts";
import { formatBytes, formatDuration } from "../../report/units.ts";
import { contributors } from "../outage/savings.ts";
import type { PlanEstimate } from "./estimate.ts";
import type { PlanQuestions } from "./questions.ts";

/** How long the outage will be, and what would shorten it. */
export function estimateFindings(
  foreseen: PlanEstimate | undefined,
  { linkNamed, link }: Pick<PlanQuestions, "linkNamed" | "link">,
): Finding[] {
  if (foreseen === undefined) {
    return [
      {
        id: "estimate",
        level: "note",
        sentence: "the outage cannot be estimated, because not everything could be inspected",
        hint: "fix the other findings, then run plan again",
      },
    ];
  }
  const { estimate, savings, savedByIgzip } = foreseen;
  const road = `${formatBytes(link)}/s between the hosts`;
  const findings: Finding[] = [
    {
      id: "estimate",
      level: "ok",
      sentence: `the outage will be about ${formatDuration(Math.ceil(estimate.outageSeconds))}, for a bundle of about ${formatBytes(estimate.bundleBytes)}`,
      evidence: [
        ...contributors(estimate, 5),
        linkNamed ? `calculated with ${road}, as given` : `assumed: ${road}; change it with --link`,
      ],
    },
  ];
  if (savings.length > 0) {
    findings.push({
      id: "outage-savings",
      level: "note",
      sentence: "the outage could be shorter",
      evidence: savings.map(({ what, seconds }) => `${formatDuration(seconds)} less: ${what}`),
    });
  }
  if (savedByIgzip >= 1) {
    findings.push({
      id: "igzip-missing",
      level: "note",
      sentence: `igzip is not installed here: with it the outage would be about ${formatDuration(Math.round(savedByIgzip))} shorter`,
      evidence: ["estimated from its speed relative to zlib on another machine; a rehearsal measures it"],
      hint: `install the package ${IGZIP_PACKAGE}, for example: apt-get install ${IGZIP_PACKAGE}`,
    });
  }
  return findings;
}
