import type { Finding } from "../../report/finding.ts";
import type { QuerySession } from "../../system/query.ts";
import type { Settings } from "../homeserver.ts";
import { peopleFindings } from "./findings.ts";
import { inspectPeople } from "./inspect.ts";
import type { PeopleCounts } from "./tally.ts";

export interface PeopleSummary {
  readonly counts: PeopleCounts;
  readonly findings: readonly Finding[];
}

/**
 * How many people there are and how many would lose messages at a sign-out, without measuring how far their backups
 * have come: seconds, also with many people. Throws what the session throws.
 */
export async function peopleSummary(
  session: QuerySession,
  about: { readonly serverName: string; readonly settings: Settings; readonly now: number },
): Promise<PeopleSummary> {
  const { people, tally } = await inspectPeople({ ...about, countKeys: false }, session);
  for await (const _ of people);
  return { counts: tally.counts, findings: peopleFindings(tally, about.serverName, about.settings) };
}
