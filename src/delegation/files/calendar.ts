import { CACHE_MAXIMUM } from "../cache-time.ts";
import type { DelegationFacts, Lowering } from "../facts.ts";

/** What to do about the address, and when. Times are milliseconds since 1970. */
export interface Calendar {
  /** The last moment to lower TTLs and cache times, for `changeAt`. */
  readonly lowerBy: number;
  /** What to lower, a line each; empty when everything is low. */
  readonly toLower: readonly string[];
  readonly changeAt: number;
  /** Until then the old host must still answer other servers, or pass them on to the new one. */
  readonly keepUntil: number;
}

/** Milliseconds: other servers use a cached `m.server` for up to 48 hours. */
const KEEP = CACHE_MAXIMUM * 1000;
const QUARTER = 15 * 60_000;

/** "A matrix.example.org from 86400 to 300 seconds". */
function describeLowering(lowering: Lowering): string {
  const { from, to } = lowering;
  return lowering.kind === "record"
    ? `${lowering.type} ${lowering.name} from ${from} to ${to} seconds`
    : `Cache-Control of ${lowering.url} to max-age=${to} (cached for ${from} seconds now)`;
}

/** For a change at that time, or as early as is safe. */
export function calendarOf(
  { safeFrom, waits, toLower }: Pick<DelegationFacts, "safeFrom" | "waits" | "toLower">,
  when: number | undefined,
): Calendar {
  const changeAt = when ?? Math.ceil(safeFrom / QUARTER) * QUARTER;
  return {
    lowerBy: changeAt - (waits[0]?.seconds ?? 0) * 1000,
    toLower: toLower.map(describeLowering),
    changeAt,
    keepUntil: changeAt + KEEP,
  };
}

/** The dates in order, for people. */
export function calendarText({ lowerBy, toLower, changeAt, keepUntil }: Calendar, now: number): string {
  const lower =
    toLower.length === 0
      ? ["All TTLs and cache times are low already."]
      : ["Lower these:", ...toLower.map((line) => `- ${line}`)];
  return [
    lowerBy < now ? "Now, and no later" : `Now, at the latest ${dateText(lowerBy)}`,
    ...lower,
    "",
    dateText(changeAt),
    "Change the DNS records (dns-remove.zone, dns-add.zone) and the well-known files (after/), and start the check:",
    "synlift delegation check with --expect expected.json",
    "",
    `Until ${dateText(keepUntil)}`,
    "Keep answering other servers at the old address, by passing /_matrix on to the new host: other servers use what they have cached.",
    "Clients that are signed in do not follow a changed base URL: keep the old one forwarded for as long as people use it.",
    "",
    `After ${dateText(keepUntil)}`,
    "Raise the TTLs and cache times again.",
    "",
  ].join("\n");
}

/** "2026-12-01 02:00 UTC". */
export const dateText = (milliseconds: number) =>
  `${new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ")} UTC`;

/** For scripts, with times in ISO 8601. */
export function calendarJson({ lowerBy, toLower, changeAt, keepUntil }: Calendar) {
  const time = (milliseconds: number) => new Date(milliseconds).toISOString();
  return {
    lowerBy: time(lowerBy),
    toLower: [...toLower],
    changeAt: time(changeAt),
    keepUntil: time(keepUntil),
  };
}
