import type { Finding } from "../report/finding.ts";
import { formatDuration } from "../report/units.ts";
import type { DelegationFacts, Lowering } from "./facts.ts";

/** A TTL above this many seconds should be lowered well before a move. */
const LONG = 3600;

/** How long others cache the old address, and what to do about it. */
export function timeFindings(facts: DelegationFacts, now: number): Finding[] {
  return [
    ...ttlFindings(facts),
    ...negativeFindings(facts),
    ...sourceFindings(facts),
    safeFinding(facts, now),
  ];
}

function ttlFindings({ records, toLower }: DelegationFacts): Finding[] {
  const moving = records.filter(({ moves }) => moves);
  if (moving.length === 0) return [];
  const lowerings = toLower.filter((each) => each.kind === "record");
  if (lowerings.length === 0) {
    const evidence = moving.map(({ name, type, ttl, value }) => `${name} ${ttl} ${type} ${value}`);
    const sentence = "the records that the move changes are cached for at most 5 minutes";
    return [{ id: "dns-ttl", level: "ok", sentence, evidence }];
  }
  const longest = lowerings.toSorted((a, b) => b.from - a.from)[0]!;
  return [
    {
      id: "dns-ttl",
      level: longest.from > LONG ? "warning" : "note",
      sentence: `resolvers cache ${longest.name} ${longest.type} for ${formatDuration(longest.from)}`,
      evidence: lowerings.map(lowerText),
      hint: "lower these TTLs at the DNS provider at least 48 hours before the move, but only for records that will change",
    },
  ];
}

const lowerText = ({ name, type, values, from, to }: Extract<Lowering, { kind: "record" }>) =>
  `${name} ${type} (now ${values.join(", ")}): from ${from} to ${to}`;

function negativeFindings({ negative }: DelegationFacts): Finding[] {
  const long = negative.filter(({ seconds }) => seconds > LONG);
  if (long.length === 0) return [];
  return [
    {
      id: "dns-negative-ttl",
      level: "note",
      sentence: "resolvers cache for more than an hour that a record does not exist",
      evidence: long.map(({ zone, seconds }) => `${zone}: ${formatDuration(seconds)}`),
      hint: "add new records, such as an AAAA or SRV record, well before they are needed",
    },
  ];
}

/** A TTL from a resolver is only the remaining time; the real one may be longer. */
function sourceFindings({ records }: DelegationFacts): Finding[] {
  const counted = records.filter(({ authoritative, moves }) => !authoritative && moves);
  if (counted.length === 0) return [];
  return [
    {
      id: "dns-not-authoritative",
      level: "note",
      sentence:
        "some TTLs come from a resolver and may really be longer: no authoritative name server answered",
      evidence: counted.map(({ name, type, ttl, from }) => `${name} ${type}: ${ttl} s, by ${from}`),
      hint: "check them at the DNS provider, or run this from a network that allows outgoing DNS",
    },
  ];
}

function safeFinding({ safeFrom, waits, toLower }: DelegationFacts, now: number): Finding {
  const evidence = waits.map(({ what, seconds }) => `${formatDuration(seconds)}: ${what}`);
  if (safeFrom <= now)
    return { id: "safe-from", level: "ok", sentence: "the address can be moved safely now", evidence };
  const time = new Date(safeFrom).toISOString().slice(0, 16).replace("T", " ");
  const condition = toLower.length > 0 ? ", if the TTLs are lowered now" : "";
  return {
    id: "safe-from",
    level: "note",
    sentence: `the address can be moved safely from ${time} UTC${condition}`,
    evidence,
  };
}
