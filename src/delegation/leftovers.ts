import type { Finding } from "../report/finding.ts";
import { answerText, type Discovery } from "./discovery.ts";
import { type Lookups, recordKey } from "./lookups.ts";
import type { ServerName } from "./server-name.ts";

/**
 * Records that discovery does not use but that others may still follow. `moving` are the hosts whose addresses change.
 */
export async function leftoverFindings(
  name: ServerName,
  walk: Discovery,
  moving: readonly string[],
  lookups: Lookups,
): Promise<Finding[]> {
  return [...(await services(name, walk, lookups)), ...(await addressHints(moving, lookups))];
}

/** Browsers may use the address hints in an HTTPS record before A and AAAA records (RFC 9460, section 7.3). */
async function addressHints(hosts: readonly string[], lookups: Lookups): Promise<Finding[]> {
  const answers = await Promise.all(hosts.map((host) => lookups.lookUp(host, "HTTPS")));
  const hints = answers.flatMap(({ records }) =>
    records.flatMap((record) =>
      record.type === "HTTPS" && record.hints.length > 0
        ? [`${record.name} HTTPS: ${record.hints.join(", ")}`]
        : [],
    ),
  );
  if (hints.length === 0) return [];
  return [
    {
      id: "https-hints",
      level: "note",
      sentence:
        "an HTTPS record contains address hints, which browsers may use before the A and AAAA records",
      evidence: hints,
      hint: "change it together with the A and AAAA records",
    },
  ];
}

async function services(name: ServerName, walk: Discovery, lookups: Lookups): Promise<Finding[]> {
  const hosts = new Set(
    [name, ...(walk.delegated ? [walk.delegated] : [])].flatMap(({ host, family }) =>
      family === 0 ? [host] : [],
    ),
  );
  const deprecated: string[] = [];
  const unused: string[] = [];
  const aliases: string[] = [];
  for (const host of hosts) {
    for (const service of [`_matrix-fed._tcp.${host}`, `_matrix._tcp.${host}`]) {
      const answer = await lookups.lookUp(service, "SRV");
      if (answer.outcome !== "found") continue;
      const text = `${service} SRV ${answerText(answer)}`;
      const used = walk.steps.some(({ asked, outcome }) => outcome === "taken" && asked === `SRV ${service}`);
      if (service.startsWith("_matrix._tcp."))
        deprecated.push(`${text}${used ? ", in use" : ", not in use"}`);
      else if (!used) unused.push(text);
      for (const record of answer.records) {
        if (!used || record.type !== "SRV" || record.target === ".") continue;
        const { chain } = await lookups.lookUp(record.target, "A");
        if (chain.length > 0) aliases.push(`${text}: ${chain.map((link) => recordKey(link)).join(", ")}`);
      }
    }
  }
  const findings: Finding[] = [];
  if (deprecated.length > 0)
    findings.push({
      id: "srv-deprecated",
      level: "note",
      sentence: "there is an SRV record of the deprecated service _matrix._tcp",
      evidence: deprecated,
      hint: "change it together with the address, or remove it; replace one that is in use with _matrix-fed._tcp",
    });
  if (unused.length > 0)
    findings.push({
      id: "srv-unused",
      level: "note",
      sentence: "there is an SRV record that other servers do not use",
      evidence: unused,
      hint: "change it together with the address, or remove it: servers use it when the well-known file fails",
    });
  if (aliases.length > 0)
    findings.push({
      id: "srv-alias",
      level: "warning",
      sentence: "an SRV record points to a CNAME, which RFC 2782 forbids and some servers reject",
      evidence: aliases,
      hint: "point it to a host name with its own A or AAAA records",
    });
  return findings;
}
