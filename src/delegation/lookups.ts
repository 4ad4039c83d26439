import type { DnsAnswer, FoundRecord } from "../system/dns/answer.ts";
import type { Dns } from "../system/dns/dns.ts";
import { type DnsType, valueText } from "../system/dns/message.ts";
import { addressFamily } from "../system/ip-address.ts";
import type { RecordFact, UnansweredFact } from "./facts.ts";

export interface HostAddress {
  readonly host: string;
  readonly address: string;
  readonly family: 4 | 6;
}

/** Maximum number of addresses that are checked for one host. */
const ADDRESSES = 8;

/** DNS lookups, each done once and kept for the report. */
export class Lookups {
  readonly #dns: Dns;
  readonly #signal: AbortSignal;
  readonly #answers = new Map<string, { name: string; type: DnsType; answer: Promise<DnsAnswer> }>();

  constructor(dns: Dns, signal: AbortSignal) {
    this.#dns = dns;
    this.#signal = signal;
  }

  lookUp(name: string, type: DnsType): Promise<DnsAnswer> {
    const key = `${name} ${type}`;
    const known = this.#answers.get(key);
    if (known) return known.answer;
    const answer = this.#dns.lookUp(name, type, this.#signal);
    this.#answers.set(key, { name, type, answer });
    return answer;
  }

  /** The addresses of a host, IPv4 first. An IP address is returned as it is. */
  async addressesOf(host: string): Promise<HostAddress[]> {
    const family = addressFamily(host);
    if (family !== 0) return [{ host, address: host, family }];
    const answers = await Promise.all([this.lookUp(host, "A"), this.lookUp(host, "AAAA")]);
    return answers
      .flatMap(({ records }) => records)
      .flatMap((record) => {
        if (record.type !== "A" && record.type !== "AAAA") return [];
        return [{ host, address: record.address, family: record.type === "A" ? (4 as const) : (6 as const) }];
      })
      .slice(0, ADDRESSES);
  }

  /** Every record seen so far, without duplicates; `moving` has the keys (see `recordKey`) of records that a move changes. */
  async records(moving: ReadonlySet<string>): Promise<RecordFact[]> {
    const found = new Map<string, RecordFact>();
    for (const { answer } of this.#answers.values()) {
      const { chain, records } = await answer;
      for (const record of [...chain, ...records]) {
        const fact = factOf(record, moving.has(recordKey(record)));
        found.set(`${fact.name} ${fact.type} ${fact.value}`, fact);
      }
    }
    return [...found.values()].sort((a, b) => compare(a.name, b.name) || compare(a.type, b.type));
  }

  async unanswered(): Promise<UnansweredFact[]> {
    const asked = [...this.#answers.values()];
    const outcomes = await Promise.all(asked.map(async ({ answer }) => (await answer).outcome));
    return asked.flatMap(({ name, type }, index) => {
      const outcome = outcomes[index]!;
      if (outcome === "found" || outcome === "no-data" || outcome === "no-name") return [];
      return [{ name, type, outcome }];
    });
  }

  /** How long resolvers cache that a record does not exist, by zone. */
  async negative(): Promise<{ zone: string; seconds: number }[]> {
    const zones = new Map<string, number>();
    for (const { answer } of this.#answers.values()) {
      const { zone, negativeTtl } = await answer;
      if (zone !== undefined && negativeTtl !== undefined)
        zones.set(zone, Math.max(negativeTtl, zones.get(zone) ?? 0));
    }
    return [...zones].map(([zone, seconds]) => ({ zone, seconds }));
  }
}

/** The key of a record: "matrix.example.org A". */
export const recordKey = ({ name, type }: { readonly name: string; readonly type: DnsType }) =>
  `${name} ${type}`;

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

function factOf(record: FoundRecord, moves: boolean): RecordFact {
  const { name, type, ttl, from, authoritative } = record;
  return { name, type, ttl, value: valueText(record), from, authoritative, moves };
}
