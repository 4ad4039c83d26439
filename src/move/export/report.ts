import type { Inventory } from "../../bundle/inventory.ts";
import type { Manifest } from "../../bundle/manifest.ts";
import { type Finding, worstLevel } from "../../report/finding.ts";
import type { Bars, Page } from "../../report/page.ts";
import { formatBytes, formatDuration } from "../../report/units.ts";
import { PROGRAM } from "../../system/version.ts";
import type { Prediction } from "../outage/prediction.ts";
import { contentFacts, describePredicted, largestTables, moment } from "../report-facts.ts";
import { sectionsOf } from "../sections.ts";

/** The report in the bundle: what was packed. It is not encrypted, so it contains names and numbers, and no secrets. */
export function exportPage(made: {
  manifest: Manifest;
  inventory: Inventory;
  findings: readonly Finding[];
  /** The prediction that was shown before the stop. */
  predicted: Prediction | undefined;
  /** How long each stage of the outage took. */
  pieces: Bars["rows"];
  now: number;
}): Page {
  const { manifest, inventory, findings, predicted, pieces, now } = made;
  const { subject, rehearsal, artifacts, outageSince } = manifest;
  const size = artifacts.reduce((sum, artifact) => sum + artifact.size, 0);
  return {
    title: rehearsal ? `A rehearsal of ${subject}` : `${subject}, packed for its move`,
    lead: rehearsal
      ? "Made for practice while the server kept running. What was written since is not in it."
      : "Database, media, configuration and signing key, each one encrypted file. The old server must not be started again.",
    verdict: {
      level: worstLevel(findings),
      sentence: "every artifact was read back completely and verified",
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
            { label: "Outage predicted", value: describePredicted(predicted) },
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
    footer: `${PROGRAM}, ${moment(now)}`,
  };
}
