import { MigrationError } from "../../errors.ts";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** To the minute, in UTC: "Tuesday 2026-12-01 02:00 UTC". */
export function formatDate(milliseconds: number): string {
  const date = new Date(milliseconds);
  return `${DAYS[date.getUTCDay()]!} ${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** Rounds up to the next quarter of an hour. */
export const roundedUp = (milliseconds: number) => Math.ceil(milliseconds / QUARTER) * QUARTER;
const QUARTER = 15 * 60_000;

/** "2026-12-01 02:00", optionally followed by "UTC", "Z" or an offset; UTC by default. Throws `bad-usage`. */
export function parseDate(text: string): number {
  const found = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2})(?::\d{2})?)?\s*(UTC|Z|[+-]\d{2}:?\d{2})?$/.exec(
    text.trim(),
  );
  const zone =
    found?.[3] === undefined || found[3] === "UTC" ? "Z" : found[3].replace(/^(...)(\d\d)$/, "$1:$2");
  const date = found ? Date.parse(`${found[1]!}T${found[2] ?? "00:00"}:00${zone}`) : NaN;
  if (Number.isNaN(date) || (found && !new Date(date - offsetOf(zone)).toISOString().startsWith(found[1]!)))
    throw new MigrationError("bad-usage", `--when: ${text} is not a date`, {
      hint: "write it as '2026-12-01 02:00 UTC'",
    });
  return date;
}

/** Milliseconds to subtract to get the date as it was typed: February 30 must not become March. */
function offsetOf(zone: string): number {
  const found = /^([+-])(\d{2}):(\d{2})$/.exec(zone);
  if (!found) return 0;
  const minutes = Number(found[2]) * 60 + Number(found[3]);
  return (found[1] === "+" ? -1 : 1) * minutes * 60_000;
}
