import { dirname, join } from "node:path";
import { JOURNAL } from "../../bundle/layout.ts";
import { tryRead } from "../../errors.ts";
import { tableSizes } from "../../homeserver/database/checks/sizes.ts";
import { databaseFacts } from "../../homeserver/database/facts.ts";
import { openReadOnly } from "../../homeserver/database/open.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { Journal } from "../../journal/journal.ts";
import type { Files } from "../../system/files/files.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { estimateMove } from "../outage/estimate.ts";
import { measureRates } from "../outage/measure.ts";
import { type Prediction, predictionOf, readPrediction } from "../outage/prediction.ts";
import { DEFAULT_LINK } from "../outage/rehearsed.ts";
import type { SourceState } from "./source.ts";

/** The journal fact with the prediction: the result of a rehearsal, or the prediction shown before the stop. */
const PREDICTION = "prediction";

/**
 * Predicts the outage: from the newest rehearsal next to the bundle's folder, or else from a sample on this machine, which
 * takes some seconds. Undefined when neither is possible. Saves it in the journal for runs after
 * the stop.
 */
export async function predictOutage(
  { folder, homeserver, source }: { folder: string; homeserver: Homeserver; source: SourceState },
  journal: Journal,
  system: System,
  progress: Progress,
): Promise<Prediction | undefined> {
  const predicted =
    (await lastRehearsal(folder, homeserver.serverName, system.files)) ??
    (await sampled(homeserver, source, system, progress));
  if (predicted) await keepPrediction(predicted, journal);
  return predicted;
}

export const keepPrediction = (prediction: Prediction, journal: Journal) =>
  journal.setFact(PREDICTION, JSON.stringify(prediction));

export function predictionOfJournal({ facts }: Pick<Journal, "facts">): Prediction | undefined {
  const text = facts[PREDICTION];
  try {
    return text === undefined ? undefined : readPrediction(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Rehearsals are where `plan` puts them: next to the bundle's folder. */
async function lastRehearsal(folder: string, subject: string, files: Files): Promise<Prediction | undefined> {
  const found: Prediction[] = [];
  const place = dirname(folder);
  for (const name of (await tryRead(() => files.list(place))) ?? []) {
    const journal = await tryRead(() => Journal.read(join(place, name, JOURNAL), files));
    if (journal?.facts["kind"] !== "rehearsal" || journal.facts["subject"] !== subject) continue;
    const prediction = predictionOfJournal(journal);
    if (prediction) found.push(prediction);
  }
  return found.sort((a, b) => (a.at < b.at ? 1 : -1))[0];
}

async function sampled(
  homeserver: Homeserver,
  { media }: SourceState,
  system: System,
  progress: Progress,
): Promise<Prediction | undefined> {
  // A prediction is optional: what prevents it fails again where it matters.
  return tryRead(async () => {
    const look = await openReadOnly(homeserver, false, system);
    try {
      const facts = await sizesOf(look, system.files);
      const { rates, dumpBytes } = await measureRates(look, facts, system, progress);
      const load = {
        dumpBytes,
        databaseBytes: facts.bytes,
        mediaBytes: media.bytes,
        mediaFiles: media.files,
      };
      const { outage } = estimateMove(load, { ...rates, link: DEFAULT_LINK });
      return predictionOf("sample", system.machine.now(), outage);
    } finally {
      await look.session.close();
    }
  });
}

async function sizesOf(look: Awaited<ReturnType<typeof openReadOnly>>, files: Files) {
  if (look.engine === "sqlite") {
    const bytes = (await files.stat(look.path))?.size ?? 0;
    return { tables: [], encoding: "UTF8", bytes };
  }
  const { size: bytes, encoding } = await databaseFacts(look.session);
  return { tables: await tableSizes(look.session), encoding, bytes };
}
