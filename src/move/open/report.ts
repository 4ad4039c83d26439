import { join } from "node:path";
import type { Inventory } from "../../bundle/inventory.ts";
import { REPORT } from "../../bundle/layout.ts";
import { type Finding, worst } from "../../report/finding.ts";
import { pageHtml } from "../../report/html.ts";
import type { Page } from "../../report/page.ts";
import { formatDuration } from "../../report/units.ts";
import type { Files } from "../../system/files/files.ts";
import { PROGRAM } from "../../system/version.ts";
import { predictionIn } from "../outage/prediction.ts";
import { contentFacts, largestTables, moment, predictedWords } from "../report-facts.ts";
import { recordFolder, type RestoreRecord } from "../restore/record.ts";
import { sectionsOf } from "../sections.ts";

/** The report of the opening: every gate, who accepted what, and how long people were without their server. */
export function openPage(opened: {
  rehearsal: boolean;
  subject: string;
  inventory: Inventory;
  findings: readonly Finding[];
  accepted: readonly string[];
  outageSeconds: number | undefined;
  /** False while a gate is not passed, or was only looked at. */
  opened: boolean;
  now: number;
}): Page {
  const { rehearsal, subject, inventory, findings, accepted, outageSeconds, now } = opened;
  if (!opened.opened) return closedPage(opened);
  return {
    title: rehearsal ? `A rehearsal of ${subject}, opened for a trial` : `${subject} is open on its new host`,
    lead: rehearsal
      ? "Every gate was passed, for practice: the real server is the one that went on running."
      : "Every gate was passed before the server could start: it is the one that was packed, with its rows, media, names and keys.",
    verdict: {
      level: worst(findings),
      sentence: `the new server is the old one${outageSeconds === undefined ? "" : `, after ${formatDuration(outageSeconds)}`}`,
    },
    facts: [
      { label: "Homeserver", value: subject },
      { label: "Outage", value: outageSeconds === undefined ? "not known" : formatDuration(outageSeconds) },
      ...(outageSeconds === undefined
        ? []
        : [{ label: "Outage predicted", value: predictedWords(predictionIn(inventory)) }]),
      ...contentFacts(sectionsOf(inventory)),
      { label: "Accepted", value: accepted.length === 0 ? "nothing" : accepted.join(", ") },
      { label: "Opened", value: moment(now) },
    ],
    findings,
    bars: [largestTables(sectionsOf(inventory))],
    foot: `${PROGRAM}, ${moment(now)}`,
  };
}
/** The same while nothing is open: what keeps it closed, or that nothing would. */
export function closedPage({
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
        ? `${subject} stays closed on its new host`
        : `${subject} may be opened on its new host`,
    lead: "What was restored, against what was counted at the source. Nobody can reach this server yet.",
    verdict: {
      level: worst(findings),
      sentence:
        closed.length > 0
          ? `${ids.length === 1 ? "a gate is" : `${ids.length} gates are`} not passed: ${ids.join(", ")}`
          : "every gate is passed; it was only looked at",
    },
    facts: [
      { label: "Homeserver", value: subject },
      ...contentFacts(sectionsOf(inventory)),
      { label: "Looked at", value: moment(now) },
    ],
    findings,
    bars: [largestTables(sectionsOf(inventory))],
    foot: `${PROGRAM}, ${moment(now)}`,
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
  /** Where a person wants it too; absolute. */
  readonly html: string | undefined;
}
/** From the fence on the old host to `now`, in seconds; undefined when nobody knows when it was. */
export const outageOf = ({ outageSince }: RestoreRecord, now: number) =>
  outageSince === null ? undefined : (now - Date.parse(outageSince)) / 1000;
/** Writes the gates as a page: beside the configuration once the server is open, and where a person wants it. Answers where. */
export async function writeGateReport(of: GateReport, files: Files): Promise<string> {
  const { folder, record, inventory, findings, accepted, opened, now, html } = of;
  const { rehearsal, serverName: subject } = record;
  const outageSeconds = outageOf(record, now);
  const page = pageHtml(
    openPage({ rehearsal, subject, inventory, findings, accepted, outageSeconds, opened, now }),
  );
  const kept = join(recordFolder(folder), REPORT);
  if (opened) await files.writeWhole(kept, page);
  if (html !== undefined) await files.writeWhole(html, page);
  return html ?? kept;
}
