import type { DelegationFacts, Lowering, RecordFact } from "./facts.ts";

/** "A matrix.example.org from 86400 to 300 seconds". */
export function describeLowering(lowering: Lowering): string {
  const { from, to } = lowering;
  return lowering.kind === "record"
    ? `${lowering.type} ${lowering.name} from ${from} to ${to} seconds`
    : `Cache-Control of ${lowering.url} to max-age=${to} (cached for ${from} seconds now)`;
}

/** Records that point to the old host, one line each: "A matrix.example.org, now 192.0.2.1". */
function describeChanges({ records }: DelegationFacts): string[] {
  const moving = new Map<string, RecordFact[]>();
  for (const record of records.filter(({ moves }) => moves)) {
    const key = `${record.type} ${record.name}`;
    moving.set(key, [...(moving.get(key) ?? []), record]);
  }
  return [...moving].map(([what, found]) => `${what}, now ${found.map(({ value }) => value).join(" and ")}`);
}

/** Every host name in the facts, for redaction. */
export function listHosts({ records, federation, client }: DelegationFacts): string[] {
  const named = [
    ...records.map(({ from }) => from.split(" ")[0]!),
    ...records.flatMap(({ name, type, value }) =>
      type === "CNAME" || type === "NS"
        ? [name, value]
        : type === "SRV"
          ? [name, value.split(" ").at(-1)!]
          : [name],
    ),
    ...(federation?.targets ?? []).map(({ host }) => host),
    ...(client ? [client.host] : []),
  ];
  return [...new Set(named.map((name) => name.replace(/\.$/, "")))].filter((name) => /[a-z]/i.test(name));
}

/** The changes to make to the address, as text. */
export const describeAddressChanges = (facts: DelegationFacts) => ({
  toLower: facts.toLower.map(describeLowering),
  toChange: describeChanges(facts),
  safeFrom: facts.safeFrom,
});
