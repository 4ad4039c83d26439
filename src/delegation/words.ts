import type { DelegationFacts, Lowering, RecordFact } from "./facts.ts";

/** "A matrix.example.org from 86400 to 300 seconds". */
export function loweringWords(lowering: Lowering): string {
  const { from, to } = lowering;
  return lowering.kind === "record"
    ? `${lowering.type} ${lowering.name} from ${from} to ${to} seconds`
    : `Cache-Control of ${lowering.url} to max-age=${to} (others may keep it for ${from} seconds now)`;
}

/** Records that lead to the old host, a line each: "A matrix.example.org, now 192.0.2.1". */
export function changeWords({ records }: DelegationFacts): string[] {
  const moving = new Map<string, RecordFact[]>();
  for (const record of records.filter(({ moves }) => moves)) {
    const key = `${record.type} ${record.name}`;
    moving.set(key, [...(moving.get(key) ?? []), record]);
  }
  return [...moving].map(([what, found]) => `${what}, now ${found.map(({ value }) => value).join(" and ")}`);
}
