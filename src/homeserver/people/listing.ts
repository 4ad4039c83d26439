import { pad, wrap } from "../../report/cells.ts";
import { type TableColumn, tableText } from "../../report/table.ts";
import type { DisplayOptions } from "../../report/text.ts";
import { formatCount } from "../../report/units.ts";
import { formatCounted, formatDay } from "./describe.ts";
import { describeOtherAccounts } from "./findings.ts";
import { coveragePercent, type Person } from "./person.ts";
import type { PeopleTally } from "./tally.ts";

/** Counts in words, for eyes, no line wider than `look.columns`. */
export function countLines({ counts, coverageDays }: PeopleTally, look: DisplayOptions): string[] {
  const saved = coverageDays === null ? "" : `, with the keys of ${formatCounted(coverageDays, "day")}`;
  const rows: [number, string, string][] = [
    [counts.ready, "ready", `a backup that a new device can open${saved}`],
    [counts.partial, "partial", "a backup without all keys, or that no new device opens (locked)"],
    [counts.none, "none", "no backup"],
    [counts.optedOut, "off", "told their app to keep none"],
    [counts.notNeeded, "-", "in no encrypted room, or no key that could be lost"],
  ];
  const apart = describeOtherAccounts(counts);
  const digits = Math.max(...rows.map(([count]) => formatCount(count).length));
  return [
    ...rows.map(
      ([count, name, about]) => `  ${pad(formatCount(count), digits, "left")} ${pad(name, 7)}  ${about}`,
    ),
    ...(apart === "" ? [] : ["", ...wrap(`apart from these people: ${apart}`, look.columns)]),
  ];
}

/** A table with a line for each of them; with their kinds where they differ. Ends with a line break. */
export function personTable(people: readonly Person[], look: DisplayOptions): string {
  const kinds = people.some(({ kind }) => kind !== "person");
  const columns: TableColumn[] = [
    { name: "who" },
    ...(kinds ? [{ name: "kind" }] : []),
    { name: "backup" },
    { name: "saved", align: "right" },
    { name: "devices", align: "right" },
    { name: "last seen" },
  ];
  const rows = people.map((person) => [
    person.userId,
    ...(kinds ? [person.kind] : []),
    backupWord(person),
    formatPercent(person),
    String(person.encryptingDevices),
    formatDay(person.lastSeen),
  ]);
  return tableText(columns, rows, look);
}

const WORD = { ready: "ready", partial: "partial", none: "none", "opted-out": "off", "not-needed": "-" };

const backupWord = ({ readiness, backupUnlocks }: Person) =>
  readiness === "partial" && !backupUnlocks ? "locked" : WORD[readiness];

const formatPercent = ({ coverage }: Person) => {
  const percent = coveragePercent(coverage);
  return percent === null ? "-" : `${percent}%`;
};

/** Those who were seen last come first: they will notice. */
export const byLastSeen = (one: Person, other: Person) => (other.lastSeen ?? 0) - (one.lastSeen ?? 0);

/** With times as ISO 8601; part of what scripts rely on. */
export function personJson(person: Person) {
  const { lastSeen, backup, coverage, ...rest } = person;
  return {
    ...rest,
    lastSeen: lastSeen === null ? null : new Date(lastSeen).toISOString(),
    backup: backup && { ...backup },
    coverage: coverage && { ...coverage, percent: coveragePercent(coverage) },
  };
}
