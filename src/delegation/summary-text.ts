import type { DelegationFacts, RecordFact } from "./facts.ts";
import { calendarOf } from "./files/calendar.ts";

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

/** The changes to make to the address, as text, with their dates for a change at `when` (milliseconds since 1970). */
export const describeAddressChanges = (facts: DelegationFacts, when: number) => ({
  toChange: describeChanges(facts),
  safeFrom: facts.safeFrom,
  calendar: calendarOf(facts, when),
  clientUrl: facts.client?.baseUrl.replace(/\/+$/, ""),
  // A server that is found without a file or an SRV record is at its own name.
  federation: facts.wellKnown.server?.value,
});
