import { addressFamily } from "../system/ip-address.ts";
import type { Discovery } from "./discovery.ts";
import type { AddressFact, Lowering, RecordFact, Wait, WellKnownFact } from "./facts.ts";
import { type Lookups, recordKey } from "./lookups.ts";

/** The TTL in seconds to use before a move: Synapse caches a well-known file for at least as long. */
export const LOW_TTL = 300;

/** The host names whose addresses change: those that federation and clients connect to, and others on the same host. */
export interface AffectedHosts {
  readonly hosts: readonly string[];
  /** A well-known file is served from an address that changes. */
  readonly wellKnown: boolean;
}

export function findAffectedHosts(
  serverHost: string,
  addresses: readonly AddressFact[],
  files: readonly (WellKnownFact | undefined)[],
): AffectedHosts {
  const moving = new Set(addresses.map(({ address }) => address));
  const served = files.flatMap((file) => file?.addresses ?? []);
  const wellKnown = served.some((address) => moving.has(address));
  const hosts = new Set(addresses.map(({ host }) => host));
  if (wellKnown) hosts.add(serverHost);
  // An IP address has no records that could be looked up.
  return { hosts: [...hosts].filter((host) => addressFamily(host) === 0), wellKnown };
}

/** The keys (see `recordKey`) of the records that a move changes: those that resolve to these hosts, and the SRV record in use. */
export async function findAffectedRecords(
  { hosts }: AffectedHosts,
  { endpoint, steps }: Discovery,
  lookups: Lookups,
): Promise<Set<string>> {
  const keys = new Set<string>();
  const asked = hosts.flatMap((host) => (["A", "AAAA", "HTTPS"] as const).map((type) => ({ host, type })));
  const service = steps.find(({ id, outcome }) => id === endpoint?.step && outcome === "taken");
  const srv = /^SRV (.+)$/.exec(service?.asked ?? "")?.[1];
  const answers = await Promise.all([
    ...asked.map(({ host, type }) => lookups.lookUp(host, type)),
    ...(srv === undefined ? [] : [lookups.lookUp(srv, "SRV")]),
  ]);
  for (const { chain, records } of answers) {
    for (const record of chain) keys.add(recordKey(record));
    // HTTPS records only have to change if they contain address hints.
    for (const record of records)
      if (record.type !== "HTTPS" || record.hints.length > 0) keys.add(recordKey(record));
  }
  return keys;
}

/** What to lower: the records that change, one entry for each name and type, and the cache times of the two files. */
export function planLowerings(
  records: readonly RecordFact[],
  files: readonly (WellKnownFact | undefined)[],
): Lowering[] {
  const sets = Map.groupBy(
    records.filter(({ moves }) => moves),
    (record) => recordKey(record),
  );
  const lowerings: Lowering[] = [...sets.values()].flatMap((set) => {
    const { name, type } = set[0]!;
    const from = Math.max(...set.map(({ ttl }) => ttl));
    if (from <= LOW_TTL) return [];
    return [{ kind: "record", name, type, values: set.map(({ value }) => value), from, to: LOW_TTL }];
  });
  for (const file of files) {
    if (file?.state !== "valid" || (file.cacheSeconds ?? 0) <= LOW_TTL) continue;
    const header = { kind: "header", url: file.url, now: file.cacheControl } as const;
    lowerings.push({ ...header, from: file.cacheSeconds!, to: LOW_TTL });
  }
  return lowerings;
}

/** The waiting times after lowering: the TTL of every record that changes, and the cache times of both files. */
export function waitsFor(
  records: readonly RecordFact[],
  files: readonly (WellKnownFact | undefined)[],
): Wait[] {
  const moving = records.filter(({ moves }) => moves);
  const waits = moving.map(({ name, type, ttl }) => ({ what: `${name} ${type}`, seconds: ttl }));
  const kept = files.flatMap((file) =>
    file?.cacheSeconds === undefined ? [] : [{ what: file.url, seconds: file.cacheSeconds }],
  );
  return [...new Map([...waits, ...kept].map((wait) => [`${wait.what} ${wait.seconds}`, wait])).values()];
}
