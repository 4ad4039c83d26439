import type { DnsAnswer } from "../../system/dns/answer.ts";
import type { Dns } from "../../system/dns/dns.ts";
import { describeServer, type DnsServer } from "../../system/dns/exchange.ts";
import { addressFamily } from "../../system/ip-address.ts";

/** One way to look names up. What is found by it is what those see who use it. */
export interface View {
  /** "the zones' own name servers", "resolver 192.0.2.53". */
  readonly name: string;
  readonly dns: Dns;
  /** Its answers come from a cache and end with their TTL. */
  readonly caches: boolean;
}

/** The zones' own name servers, and each resolver, or else this host's. */
export function viewsBy(dns: Dns, resolvers: readonly DnsServer[]): View[] {
  const cached = (name: string, by: Dns): View => ({
    name,
    caches: true,
    dns: { ...by, lookUp: (name, type, signal) => by.ask(name, type, signal) },
  });
  const own = resolvers[0] === undefined ? dns.again() : dns.withResolver(resolvers[0]);
  return [
    { name: "the zones' own name servers", dns: own, caches: false },
    ...(resolvers.length === 0
      ? [cached("the resolvers of this host", own)]
      : resolvers.map((one) => cached(`resolver ${describeServer(one)}`, dns.withResolver(one)))),
  ];
}

/** The same, as if these hosts had these addresses. */
export function viewWith(addresses: ReadonlyMap<string, readonly string[]>, dns: Dns): View {
  const lookUp: Dns["lookUp"] = (name, type, signal) => {
    const fixed = addresses.get(name.toLowerCase());
    if (!fixed || type === "SRV" || type === "CAA") return dns.lookUp(name, type, signal);
    const family = type === "A" ? 4 : type === "AAAA" ? 6 : undefined;
    const records = fixed
      .filter((address) => addressFamily(address) === family)
      .map((address) => ({
        name,
        ttl: 0,
        type: type as "A" | "AAAA",
        address,
        from: "--at",
        authoritative: false,
      }));
    const answer: DnsAnswer = { outcome: records.length > 0 ? "found" : "no-data", records, chain: [] };
    return Promise.resolve(answer);
  };
  return { name: "the given address", dns: { ...dns, lookUp, ask: lookUp }, caches: false };
}
