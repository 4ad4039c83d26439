import type { Inventory } from "../bundle/inventory.ts";
import type { Manifest } from "../bundle/manifest.ts";
import type { Finding } from "../report/finding.ts";
import type { Bars, Fact, Page } from "../report/page.ts";
import { formatBytes, formatCount, formatDuration } from "../report/units.ts";
import { worst } from "../report/finding.ts";
import { PROGRAM } from "../system/version.ts";
import { predictedSeconds, predictionIn, type Prediction } from "./outage/prediction.ts";
import { sectionsOf, type Sections } from "./sections.ts";

/** The report that lies in the bundle: what was packed. It is not encrypted, so it has names and numbers, and nothing secret. */
export function exportPage(made: {
  manifest: Manifest;
  inventory: Inventory;
  findings: readonly Finding[];
  /** What people were told before the stop. */
  predicted: Prediction | undefined;
  /** How long each piece of the outage took. */
  pieces: Bars["rows"];
  now: number;
}): Page {
  const { manifest, inventory, findings, predicted, pieces, now } = made;
  const { subject, rehearsal, artifacts, outageSince } = manifest;
  const size = artifacts.reduce((sum, artifact) => sum + artifact.size, 0);
  return {
    title: rehearsal ? `A rehearsal of ${subject}` : `${subject}, packed for its move`,
    lead: rehearsal
      ? "Made while the server went on running, for practice. What was written since is not in it."
      : "Database, media, configuration and signing key, each one encrypted file. The old server must not be started again.",
    verdict: {
      level: worst(findings),
      sentence: "every artifact was read back to its last byte, and holds what was packed",
    },
    facts: [
      { label: "Homeserver", value: subject },
      { label: "Size of the bundle", value: formatBytes(size) },
      ...contentFacts(sectionsOf(inventory)),
      {
        label: "Down since",
        value: outageSince === null ? "still running" : moment(Date.parse(outageSince)),
      },
      ...(outageSince === null
        ? []
        : [
            { label: "Outage so far", value: formatDuration((now - Date.parse(outageSince)) / 1000) },
            { label: "Outage predicted", value: predictedWords(predicted) },
          ]),
      { label: "Bundle", value: manifest.id },
    ],
    findings,
    bars: [
      ...(pieces.length === 0 ? [] : [{ title: "The outage so far", rows: pieces }]),
      {
        title: "Artifacts",
        rows: artifacts.map(({ name, size: bytes }) => ({
          label: name,
          value: bytes,
          text: formatBytes(bytes),
        })),
      },
      largestTables(sectionsOf(inventory)),
    ],
    foot: `${PROGRAM}, ${moment(now)}`,
  };
}

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

function predictedWords(predicted: Prediction | undefined): string {
  if (!predicted) return "not predicted";
  const { whole, export: toHere } = predictedSeconds(predicted);
  return `${formatDuration(Math.ceil(whole))}, ${formatDuration(Math.ceil(toHere))} of it until the bundle is sealed`;
}

function contentFacts({ database, media }: Sections): Fact[] {
  return [
    { label: "Rows", value: formatCount(Object.values(database.rows).reduce((sum, rows) => sum + rows, 0)) },
    { label: "Users", value: formatCount(rowsOf(database.rows, "users")) },
    { label: "Rooms", value: formatCount(rowsOf(database.rows, "rooms")) },
    { label: "Events", value: formatCount(rowsOf(database.rows, "events")) },
    { label: "Media files", value: `${formatCount(media.files)}, ${formatBytes(media.bytes)}` },
  ];
}

const rowsOf = (rows: Readonly<Record<string, number>>, table: string) =>
  Object.entries(rows).find(([name]) => name.endsWith(`.${table}`))?.[1] ?? 0;

function largestTables({ database }: Sections): Bars {
  const rows = Object.entries(database.rows).sort(([, a], [, b]) => b - a);
  return {
    title: "Tables with the most rows",
    rows: rows.slice(0, 10).map(([name, count]) => ({
      label: name.replace(/^(?:public|main)\./, ""),
      value: count,
      text: formatCount(count),
    })),
  };
}

/** To the second, in UTC: "2026-11-23 10:33:48 UTC". */
const moment = (milliseconds: number) =>
  `${new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ")} UTC`;
