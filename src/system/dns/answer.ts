import type { Reply } from "./exchange.ts";
import type { DnsRecord, DnsType } from "./message.ts";

/**
 * `found`; `no-data`: the name has no record of that type; `no-name`: there is no such name (NXDOMAIN). Then what is no
 * answer: `failed` (SERVFAIL and other codes), `refused`, `silent` (nothing came in time, or nobody listens), `garbled`,
 * and `loop`: CNAMEs that lead nowhere.
 */
export type DnsOutcome =
  "found" | "no-data" | "no-name" | "failed" | "refused" | "silent" | "garbled" | "loop";

export interface DnsAnswer {
  readonly outcome: DnsOutcome;
  /** Those of the type that was asked for. */
  readonly records: readonly FoundRecord[];
  /** The CNAMEs on the way to them, in order. */
  readonly chain: readonly FoundRecord[];
  /** Seconds for which a resolver remembers that there is nothing (RFC 2308, section 5); with `no-data` and `no-name`. */
  readonly negativeTtl?: number;
  /** The zone that says so. */
  readonly zone?: string;
}

export type FoundRecord = DnsRecord & {
  /** Who said it: "ns1.example.org (192.0.2.53)", or a resolver's address. */
  readonly from: string;
  /** It was said by a server of the record's own zone: the time to live is not counted down. */
  readonly authoritative: boolean;
};

/** What a server's reply says of a name, going after the CNAMEs in it. */
export function answerOf(
  reply: Reply,
  { name, type }: { readonly name: string; readonly type: DnsType },
  source: { readonly from: string; readonly authoritative: boolean },
): DnsAnswer {
  const chain: FoundRecord[] = [];
  const nothing = (outcome: DnsOutcome) => ({ outcome, records: [], chain });
  if (reply === "silent" || reply === "unreachable") return nothing("silent");
  if (reply === "garbled") return nothing("garbled");
  if (reply.code !== "NOERROR" && reply.code !== "NXDOMAIN")
    return nothing(reply.code === "REFUSED" ? "refused" : "failed");

  let owner = name.toLowerCase().replace(/\.$/, "");
  const seen = new Set([owner]);
  for (;;) {
    const own = reply.answers.filter((record) => record.name === owner);
    const records = own.filter((record) => record.type === type).map((record) => ({ ...record, ...source }));
    if (records.length > 0) return { outcome: "found", records, chain };
    const alias = own.find((record) => record.type === "CNAME");
    if (!alias) break;
    chain.push({ ...alias, ...source });
    owner = alias.target;
    if (seen.has(owner)) return nothing("loop");
    seen.add(owner);
  }
  const soa = reply.authorities.find((record) => record.type === "SOA");
  const negative = soa?.type === "SOA" ? { negativeTtl: Math.min(soa.ttl, soa.minimum), zone: soa.name } : {};
  return { ...nothing(reply.code === "NXDOMAIN" ? "no-name" : "no-data"), ...negative };
}
