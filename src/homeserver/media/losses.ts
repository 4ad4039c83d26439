import type { Inventory } from "../../bundle/inventory.ts";
import type { Finding } from "../../report/finding.ts";
import { MEDIA_CHANGED, MEDIA_MISSING, MEDIA_UNREADABLE } from "./accept-ids.ts";
import { packedArchives } from "./archive/section.ts";
import { describeDiffering } from "./compare/compare.ts";
import { MEDIA_SECTION } from "./export.ts";
import { type MediaSection, mediaSectionSchema } from "./section.ts";

const SHOWN = 20;

/** What was missing at the source already, and what somebody accepted: by the inventory of a bundle, whoever reads it. */
export function lossesIn(inventory: Inventory, shown = SHOWN): Finding[] {
  const section = mediaSectionSchema.safeParse(inventory.section(MEDIA_SECTION));
  const findings = section.success ? lossFindings(section.data, shown) : [];
  const unread = packedArchives(inventory).flatMap(({ folder, unread = [] }) =>
    unread.map((id) => `${id}: not in ${folder}`),
  );
  if (unread.length > 0)
    findings.push({
      id: MEDIA_MISSING,
      level: "note",
      sentence: `${unread.length} uploads could not be read while they were packed into a media archive`,
      evidence: unread.slice(0, shown),
    });
  return findings;
}

/** The notes on what was not whole at the source. `shown` is how many are named. */
export function lossFindings(section: MediaSection, shown = SHOWN): Finding[] {
  const findings: Finding[] = [];
  const { differing, differingCount = differing.length } = section;
  if (differingCount > 0)
    findings.push({
      id: MEDIA_MISSING,
      level: "note",
      sentence: `${differingCount} uploads were already missing on the old host`,
      evidence: differing.slice(0, shown).map(describeDiffering),
    });
  const { unreadable = [], unreadableCount = unreadable.length } = section;
  if (unreadableCount > 0)
    findings.push({
      id: MEDIA_UNREADABLE,
      level: "note",
      sentence: `${unreadableCount} files were already unreadable on the old host`,
      evidence: unreadable.slice(0, shown),
    });
  const changed = [...new Set(section.changed)];
  const changedCount = section.changedCount ?? changed.length;
  if (changedCount > 0)
    findings.push({
      id: MEDIA_CHANGED,
      level: "note",
      sentence: `the hashes of ${changedCount} uploads already differed from their rows on the old host`,
      evidence: changed.slice(0, shown),
    });
  return findings;
}
