import type { Finding } from "../../report/finding.ts";
import { formatDuration } from "../../report/units.ts";
import { estimateMove, type Stage } from "./estimate.ts";

export interface Rehearsed {
  /** Seconds, as they were in the rehearsal: to pack the database and to seal the bundle. */
  readonly databaseSeconds: number;
  readonly sealSeconds: number;
  readonly dump: { readonly size: number; readonly plain: { readonly size: number } };
  readonly bundleBytes: number;
  readonly mediaBytes: number;
  readonly mediaFiles: number;
}

/** Bytes per second that `plan` assumes without --link: 100 megabits. */
export const DEFAULT_LINK = 100e6 / 8;

/** Bytes per second of media that is decrypted and unpacked, where nothing was measured. */
const UNPACKING = 250e6;

/** The stages of the real outage after a rehearsal: measured ones, and those that can only be estimated. */
export function expectedStages(rehearsed: Rehearsed): Stage[] {
  const { databaseSeconds, sealSeconds, dump, bundleBytes, mediaBytes, mediaFiles } = rehearsed;
  const dumpBytes = dump.plain.size;
  const reading = dumpBytes / Math.max(0.001, databaseSeconds);
  const pace = { packing: Infinity, readingBack: UNPACKING, secondsPerArtifact: 0, ratio: 1 };
  const measured: Partial<Record<Stage["id"], number>> = { database: databaseSeconds, seal: sealSeconds };
  const { outage } = estimateMove(
    { dumpBytes, databaseBytes: dumpBytes, mediaBytes, mediaFiles },
    {
      reading,
      database: { ...pace, ratio: dump.size / Math.max(1, dumpBytes) },
      media: pace,
      link: DEFAULT_LINK,
    },
  );
  return outage.map((stage) => {
    if (stage.id === "transfer") return { ...stage, seconds: bundleBytes / DEFAULT_LINK };
    const seconds = measured[stage.id];
    return seconds === undefined ? { ...stage, basis: "assumed" as const } : { ...stage, seconds };
  });
}

/** The finding at the end of a rehearsal. */
export function expectedOutage(rehearsed: Rehearsed): Finding {
  const stages = expectedStages(rehearsed);
  const sum = stages.reduce((seconds, stage) => seconds + stage.seconds, 0);
  return {
    id: "outage-expected",
    level: "ok",
    sentence: `the outage of the real move will be about ${formatDuration(Math.ceil(sum))}, according to this rehearsal`,
    evidence: stages.map(
      ({ label, seconds, basis }) =>
        `${label}: ${formatDuration(seconds)}, ${basis === "measured" ? "measured in this run" : "assumed"}`,
    ),
  };
}
