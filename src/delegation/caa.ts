import type { Finding } from "../report/finding.ts";
import { type DnsRecord, valueText } from "../system/dns/message.ts";
import type { CaaFact } from "./facts.ts";
import type { Lookups } from "./lookups.ts";

type Caa = Extract<DnsRecord, { type: "CAA" }>;

export interface CaaSet {
  readonly fact: CaaFact;
  readonly records: readonly Caa[];
}

/** The CAA records that apply to a name: those of the closest name upwards that has any (RFC 8659, section 3). */
export async function findRelevantCaa(name: string, lookups: Lookups): Promise<CaaSet> {
  const labels = name.split(".");
  for (let skip = 0; skip < labels.length; skip++) {
    const at = labels.slice(skip).join(".");
    const { records } = await lookups.lookUp(at, "CAA");
    const found = records.filter((record) => record.type === "CAA");
    if (found.length === 0) continue;
    return { fact: { name, at, records: found.map((record) => valueText(record)) }, records: found };
  }
  return { fact: { name, records: [] }, records: [] };
}

/** Tags that certificate authorities know. An unknown critical tag forbids issuing any certificate. */
const KNOWN_TAGS = ["issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"];

/** Whether a host with its own ACME account could get certificates for these names. */
export function caaFindings(sets: readonly CaaSet[]): Finding[] {
  const bound = sets.filter(({ records }) => records.length > 0);
  const evidence = bound.flatMap(({ fact: { name, at, records } }) =>
    records.map((record) => `${name}: ${at ?? ""} CAA ${record}`),
  );
  const names = (fits: (set: CaaSet) => boolean) => bound.filter(fits).map(({ fact }) => fact.name);
  const findings: Finding[] = [];
  const warn = (id: string, wrong: readonly string[], sentence: string, hint: string) => {
    if (wrong.length === 0) return;
    findings.push({ id, level: "warning", sentence: `${sentence}: ${wrong.join(", ")}`, evidence, hint });
  };
  warn(
    "caa-forbids",
    names(({ records }) => refusesAll(records)),
    "CAA records forbid every authority to issue a certificate for a name that the new host needs one for",
    "allow an authority with a CAA record, or copy certificate and key to the new host",
  );
  warn(
    "caa-account",
    names(({ records }) => areAll(records, ({ account }) => account)),
    "CAA records allow only one ACME account, and the new host has another one",
    "copy the ACME account to the new host, or add a CAA record with the accounturi of the new account",
  );
  warn(
    "caa-method",
    names(({ records }) => areAll(records, ({ byHttp }) => !byHttp)),
    "CAA records do not allow validation over HTTP or TLS",
    "use a method listed in validationmethods on the new host too, or change the record",
  );
  if (findings.length > 0) return findings;
  if (bound.length === 0)
    return [{ id: "caa", level: "ok", sentence: "no CAA record limits who may issue certificates" }];
  const authorities = new Set(
    bound.flatMap(({ records }) => usable(records).map(({ authority }) => authority)),
  );
  const sentence =
    authorities.size === 0
      ? "the CAA records do not limit who may issue certificates"
      : `only ${[...authorities].join(" and ")} may issue certificates for ${names(() => true).join(", ")}`;
  const hint =
    "use one of these authorities on the new host, or add a CAA record for another one before the move";
  return [{ id: "caa", level: "note", sentence, evidence, ...(authorities.size === 0 ? {} : { hint }) }];
}

interface Issuer {
  readonly authority: string;
  /** Restricted to one ACME account (RFC 8657, section 3). */
  readonly account: boolean;
  /** Validation over HTTP or TLS is allowed (RFC 8657, section 4). */
  readonly byHttp: boolean;
}

function refusesAll(records: readonly Caa[]): boolean {
  if (records.some(({ critical, tag }) => critical && !KNOWN_TAGS.includes(tag))) return true;
  return records.some(({ tag }) => tag === "issue") && usable(records).length === 0;
}

function areAll(records: readonly Caa[], test: (issuer: Issuer) => boolean): boolean {
  const issuers = usable(records);
  return issuers.length > 0 && !refusesAll(records) && issuers.every(test);
}

/** The authorities that the records allow to issue certificates. */
function usable(records: readonly Caa[]): Issuer[] {
  return records.flatMap(({ tag, value }) => {
    const [authority = "", ...parameters] = value.split(";").map((part) => part.trim());
    if (tag !== "issue" || authority === "") return [];
    const methods = parameters.find((part) => /^validationmethods\s*=/i.test(part))?.replace(/^[^=]*=/, "");
    return [
      {
        authority,
        account: parameters.some((part) => /^accounturi\s*=/i.test(part)),
        byHttp: methods === undefined || /(^|,)\s*(http-01|tls-alpn-01)\s*(,|$)/i.test(methods),
      },
    ];
  });
}
