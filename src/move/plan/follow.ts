import { MigrationError } from "../../errors.ts";
import { roadFindings, standbyFindings } from "../../homeserver/database/follow/findings.ts";
import { readSourceFacts } from "../../homeserver/database/follow/read-facts.ts";
import { judgeRoads } from "../../homeserver/database/follow/roads.ts";
import { findServer } from "../../homeserver/database/follow/server.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { Finding } from "../../report/finding.ts";
import { formatBytes, formatCountOf, formatDuration } from "../../report/units.ts";
import type { System } from "../../system/system.ts";
import { followedOutage } from "../outage/estimate.ts";
import type { PlanEstimate } from "./estimate.ts";

/**
 * Whether a copy of the database could follow it on the new host, which keeps the outage short whatever its size. Changes
 * nothing, and a move without that needs none of it: so it is never worse than a note.
 */
export async function followFindings(
  homeserver: Homeserver,
  foreseen: PlanEstimate | undefined,
  system: System,
): Promise<Finding[]> {
  try {
    const { databases, administrator } = await findServer(homeserver, undefined, system);
    const source = await readSourceFacts(databases, administrator, system);
    const roads = judgeRoads(source, undefined);
    const takesAll = roads.standby.reasons.length === 0;
    return [
      ...roadFindings(source, roads, foreseen && outageLine(foreseen)),
      ...(takesAll ? standbyFindings(source) : []),
    ];
  } catch (error) {
    system.signal.throwIfAborted();
    if (!(error instanceof MigrationError)) throw error;
    return [
      {
        id: "follow-unknown",
        level: "note",
        sentence: `whether a copy could follow the database is not known: ${error.message}`,
        hint: "it matters for large databases only, whose outage it makes short: run plan as root to know",
      },
    ];
  }
}

function outageLine({ load, estimate }: PlanEstimate): string {
  const [followed, without] = [followedOutage(load), estimate.outageSeconds].map((seconds) =>
    formatDuration(Math.ceil(seconds)),
  );
  const media = `${formatCountOf(load.mediaFiles, "media file")}, ${formatBytes(load.mediaBytes)}`;
  return `the outage would be about ${followed!}, and not grow with the database; without, about ${without!}; ${media}, are copied beside it meanwhile, for which the new host needs room, too`;
}
