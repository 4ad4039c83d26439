import type { TableRows } from "../../homeserver/database/port/verify.ts";
import { type Finding, worstLevel } from "../../report/finding.ts";
import type { Page } from "../../report/page.ts";
import { formatCount, formatDuration } from "../../report/units.ts";
import { PROGRAM } from "../../system/version.ts";
import type { PortSeconds } from "./port-database.ts";

/** The report of a port. Names and numbers, and no secrets. */
export function portPage(made: {
  readonly serverName: string;
  /** The new database, in words. */
  readonly target: string;
  readonly rows: TableRows;
  readonly rehearsal: boolean;
  readonly findings: readonly Finding[];
  readonly seconds: PortSeconds & { readonly copy: number };
  /** Milliseconds since 1970. */
  readonly now: number;
}): Page {
  const { serverName, target, rows, rehearsal, findings, seconds, now } = made;
  const largest = Object.entries(rows).sort(([, one], [, other]) => other - one);
  return {
    title: rehearsal ? `A rehearsal of ${serverName} on PostgreSQL` : `${serverName} on PostgreSQL`,
    lead: rehearsal
      ? "Made from a copy for practice, and removed again. The real one takes about as long."
      : "The file of SQLite was only read. Start the server on the new database, and never on the file again.",
    verdict: {
      level: worstLevel(findings),
      sentence: "every table was counted on both sides, and a Synapse started on the new database",
    },
    facts: [
      { label: "Homeserver", value: serverName },
      { label: "Database", value: target },
      ...["users", "rooms", "events"].map((table) => ({
        label: table.charAt(0).toUpperCase() + table.slice(1),
        value: formatCount(rows[table] ?? 0),
      })),
      { label: "Time", value: formatDuration(secondsOf(seconds)) },
    ],
    findings,
    bars: [
      {
        title: "How long it took",
        rows: STAGES.map(([stage, label]) => ({
          label,
          value: seconds[stage],
          text: formatDuration(seconds[stage]),
        })),
      },
      {
        title: "Tables with the most rows",
        rows: largest.slice(0, 10).map(([label, value]) => ({ label, value, text: formatCount(value) })),
      },
    ],
    footer: `${PROGRAM}, ${new Date(now).toISOString().slice(0, 19).replace("T", " ")} UTC`,
  };
}

const STAGES = [
  ["copy", "private copy"],
  ["checks", "checks before"],
  ["script", "synapse_port_db"],
  ["after", "checks after"],
] as const;

/** All of it: as long as the server is down, if nothing else delays it. */
export const secondsOf = (seconds: PortSeconds & { readonly copy: number }) =>
  STAGES.reduce((sum, [stage]) => sum + seconds[stage], 0);
