import type { Finding } from "../report/finding.ts";
import type { DelegationFacts } from "./facts.ts";
import type { Lookups } from "./lookups.ts";
import type { ServerName } from "./server-name.ts";
import { OUTCOME_WORDS } from "./walk.ts";

/** Whether there is any use in asking on. An IP address needs no DNS to be found. */
export async function dnsIsSilent({ host, family }: ServerName, lookups: Lookups): Promise<boolean> {
  if (family !== 0) return false;
  const { outcome } = await lookups.of(host, "A");
  return outcome === "silent" || outcome === "garbled";
}

/** What DNS did not answer. Without any answer at all it is one finding, whatever else was asked. */
export function dnsFindings({ serverName, records, unanswered, steps }: DelegationFacts): Finding[] {
  // Some name servers know nothing of HTTPS records yet, and nothing depends on these.
  const wrong = unanswered.filter(({ type }) => type !== "HTTPS");
  if (wrong.length === 0) return [];
  const evidence = wrong.map(({ name, type, outcome }) => `${name} ${type}: ${OUTCOME_WORDS[outcome]}`);
  if (records.length === 0 && steps.length === 0)
    return [
      {
        id: "dns-unanswered",
        level: "warning",
        sentence: `DNS does not answer, so nothing is known of how others find ${serverName}`,
        evidence,
        hint: "check the resolvers of this host (/etc/resolv.conf), or name another",
      },
    ];
  return [
    {
      id: "dns-failed",
      level: "warning",
      sentence: "a record cannot be looked up, which stops other servers as well",
      evidence,
      hint: "look at the zone with its DNS provider; for a CAA record, no authority issues certificates while it cannot be looked up",
    },
  ];
}
