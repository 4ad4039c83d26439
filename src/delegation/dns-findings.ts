import type { Finding } from "../report/finding.ts";
import { OUTCOME_TEXT } from "./discovery.ts";
import type { DelegationFacts } from "./facts.ts";
import type { Lookups } from "./lookups.ts";
import type { ServerName } from "./server-name.ts";

/** Whether DNS does not work at all. An IP address needs no DNS. */
export async function isDnsUnavailable({ host, family }: ServerName, lookups: Lookups): Promise<boolean> {
  if (family !== 0) return false;
  const { outcome } = await lookups.lookUp(host, "A");
  return outcome === "silent" || outcome === "garbled";
}

/** Findings about lookups that failed. When no lookup succeeded at all, there is only one finding. */
export function dnsFindings({ serverName, records, unanswered, steps }: DelegationFacts): Finding[] {
  // Some name servers do not support HTTPS records yet, and nothing depends on them.
  const wrong = unanswered.filter(({ type }) => type !== "HTTPS");
  if (wrong.length === 0) return [];
  const evidence = wrong.map(({ name, type, outcome }) => `${name} ${type}: ${OUTCOME_TEXT[outcome]}`);
  if (records.length === 0 && steps.length === 0)
    return [
      {
        id: "dns-unavailable",
        level: "warning",
        sentence: `DNS does not answer, so it is unknown how other servers find ${serverName}`,
        evidence,
        hint: "check the resolvers of this host (/etc/resolv.conf), or use another resolver",
      },
    ];
  return [
    {
      id: "dns-lookup-failed",
      level: "warning",
      sentence: "a DNS lookup fails, which also affects other servers",
      evidence,
      hint: "check the zone at its DNS provider; while a CAA lookup fails, no authority issues certificates",
    },
  ];
}
