import type { Reply } from "./exchange.ts";
import type { DnsRecord, DnsType } from "./message.ts";

/**
 * `found`; `no-data`: the name has no record of that type; `no-name`: the name does not exist (NXDOMAIN). Failures:
 * `failed` (SERVFAIL and other codes), `refused`, `silent` (time-out, or no server at the address), `garbled` (a
 * malformed response), `loop` (a CNAME loop).
 */
export type DnsOutcome =
  "found" | "no-data" | "no-name" | "failed" | "refused" | "silent" | "garbled" | "loop";

export interface DnsAnswer {
  readonly outcome: DnsOutcome;
  /** The records of the requested type. */
  readonly records: readonly FoundRecord[];
  /** The CNAME records that lead to them, in order. */
  readonly chain: readonly FoundRecord[];
  /** How long a resolver caches a negative answer, in seconds (RFC 2308, section 5); with `no-data` and `no-name`. */
  readonly negativeTtl?: number;
  /** The zone of the negative answer. */
  readonly zone?: string;
}

export type FoundRecord = DnsRecord & {
  /** The server that returned it: "ns1.example.org (192.0.2.53)", or the address of a resolver. */
  readonly from: string;
  /** Returned by an authoritative server, so the TTL is not partly elapsed. */
  readonly authoritative: boolean;
};

/** The answer in a server's reply to a query, following the CNAME records in it. */
export function interpretReply(
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
