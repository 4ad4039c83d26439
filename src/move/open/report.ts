import { join } from "node:path";
import type { Inventory } from "../../bundle/inventory.ts";
import { REPORT } from "../../bundle/layout.ts";
import { type Finding, worstLevel } from "../../report/finding.ts";
import { pageHtml } from "../../report/html.ts";
import type { Page, Runbook } from "../../report/page.ts";
import { formatDuration } from "../../report/units.ts";
import type { Files } from "../../system/files/files.ts";
import { PROGRAM } from "../../system/version.ts";
import { predictionIn } from "../outage/prediction.ts";
import { contentFacts, describePredicted, largestTables, moment } from "../report-facts.ts";
import { recordFolder, type RestoreRecord } from "../restore/record.ts";
import { sectionsOf } from "../sections.ts";

/** The report of `open`: every gate, which findings were accepted, and how long the outage was. */
function openPage(opened: {
  rehearsal: boolean;
  subject: string;
  inventory: Inventory;
  findings: readonly Finding[];
  accepted: readonly string[];
  outageSeconds: number | undefined;
  /** False when a gate failed, or in a dry run. */
  opened: boolean;
  now: number;
  check: string;
}): Page {
  const { rehearsal, subject, inventory, findings, accepted, outageSeconds, now } = opened;
  if (!opened.opened) return closedPage(opened);
  return {
    title: rehearsal ? `A rehearsal of ${subject}, opened for a trial` : `${subject} is open on its new host`,
    lead: rehearsal
      ? "Every gate passed, for practice: the real server is the one that kept running."
      : "Every gate passed before the server could start: it has the rows, media, names and keys that were packed.",
    verdict: {
      level: worstLevel(findings),
      sentence: `the new server is the old one${outageSeconds === undefined ? "" : `, after ${formatDuration(outageSeconds)}`}`,
    },
    facts: [
      { label: "Homeserver", value: subject },
      { label: "Outage", value: outageSeconds === undefined ? "not known" : formatDuration(outageSeconds) },
      ...(outageSeconds === undefined
        ? []
        : [{ label: "Outage predicted", value: describePredicted(predictionIn(inventory)) }]),
      ...contentFacts(sectionsOf(inventory)),
      { label: "Accepted", value: accepted.length === 0 ? "nothing" : accepted.join(", ") },
      { label: "Opened", value: moment(now) },
    ],
    findings,
    ...(rehearsal ? {} : { runbook: addressSteps(opened.check) }),
    bars: [largestTables(sectionsOf(inventory))],
    footer: `${PROGRAM}, ${moment(now)}`,
  };
}

/** What is left once the server is open. */
const addressSteps = (check: string): Runbook => ({
  title: "The address",
  steps: [
    {
      title: "Move the address",
      where: "where your DNS and web server are kept",
      text: "Change the DNS records, the proxy and the well-known files. Until the change has propagated, let the old host pass requests on to this one.",
    },
    {
      title: "Check it until nobody gets the old one",
      where: "on another host",
      text: "Every address is asked on its own. Add --resolver for each resolver whose view you want, and --address with that of this host.",
      commands: [check],
    },
  ],
});

/** The same before the server is open: which gates fail, or that none does. */
function closedPage({
  subject,
  inventory,
  findings,
  now,
}: Pick<Parameters<typeof openPage>[0], "subject" | "inventory" | "findings" | "now">): Page {
  const closed = findings.filter(({ level }) => level === "blocker");
  const ids = [...new Set(closed.map(({ id }) => id))];
  return {
    title:
      closed.length > 0
        ? `${subject} stays fenced on its new host`
        : `${subject} can be opened on its new host`,
    lead: "What was restored, compared with what was counted at the source. This server cannot be reached yet.",
    verdict: {
      level: worstLevel(findings),
      sentence:
        closed.length > 0
          ? `${ids.length === 1 ? "a gate fails" : `${ids.length} gates fail`}: ${ids.join(", ")}`
          : "every gate passes; this was a dry run",
    },
    facts: [
      { label: "Homeserver", value: subject },
      ...contentFacts(sectionsOf(inventory)),
      { label: "Checked", value: moment(now) },
    ],
    findings,
    bars: [largestTables(sectionsOf(inventory))],
    footer: `${PROGRAM}, ${moment(now)}`,
  };
}
export interface GateReport {
  readonly folder: string;
  readonly record: RestoreRecord;
  readonly inventory: Inventory;
  readonly findings: readonly Finding[];
  readonly accepted: readonly string[];
  readonly opened: boolean;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Where to write a second copy; absolute. */
  readonly html: string | undefined;
  /** The command that checks the address. */
  readonly check: string;
}
/** Seconds from the stop on the old host to `now`; undefined when that time is unknown, or later than this host's clock says. */
export function outageOf({ outageSince }: RestoreRecord, now: number): number | undefined {
  const seconds = outageSince === null ? NaN : (now - Date.parse(outageSince)) / 1000;
  return seconds >= 0 ? seconds : undefined;
}
/** Writes the gates as a page: next to the configuration once the server is open, and to `html` if given. Returns the path. */
export async function writeGateReport(of: GateReport, files: Files): Promise<string> {
  const { folder, record, inventory, findings, accepted, opened, now, html, check } = of;
  const { rehearsal, serverName: subject } = record;
  const outageSeconds = outageOf(record, now);
  const page = pageHtml(
    openPage({ rehearsal, subject, inventory, findings, accepted, outageSeconds, opened, now, check }),
  );
  const kept = join(recordFolder(folder), REPORT);
  if (opened) await files.writeAtomically(kept, page);
  if (html !== undefined) await files.writeAtomically(html, page);
  return html ?? kept;
}
