import { z } from "zod";
import type { Inventory } from "../../bundle/inventory.ts";
import { formatDuration } from "../../report/units.ts";
import type { Stage } from "./estimate.ts";

/** The predicted outage by stage, and its source. No secrets. */
const predictionSchema = z.object({
  from: z.enum(["rehearsal", "sample"]),
  /** When that was measured, ISO 8601. */
  at: z.string(),
  /** Seconds of each stage. */
  stages: z.record(z.string(), z.number().nonnegative()),
});

export type Prediction = z.infer<typeof predictionSchema>;

/** The section of the inventory with the prediction; optional. */
export const OUTAGE_SECTION = "outage";

export const predictionOf = (
  from: Prediction["from"],
  at: number,
  stages: readonly Pick<Stage, "id" | "seconds">[],
): Prediction => ({
  from,
  at: new Date(at).toISOString(),
  stages: Object.fromEntries(stages.map(({ id, seconds }) => [id, seconds])),
});

/** Undefined for a value that is not a prediction: it is only shown, nothing depends on it. */
export function readPrediction(value: unknown): Prediction | undefined {
  const found = predictionSchema.safeParse(value);
  return found.success ? found.data : undefined;
}

export const predictionIn = (inventory: Inventory) => readPrediction(inventory.section(OUTAGE_SECTION));

/** The stages up to the sealed bundle. */
const EXPORT_STAGES: readonly string[] = ["stop", "database", "media", "seal"] satisfies Stage["id"][];

/** Seconds from the stop of the old server to the answer of the new one; and those until the bundle is sealed. */
export function predictedSeconds({ stages }: Prediction): { whole: number; export: number } {
  const sum = (names: readonly string[]) => names.reduce((seconds, name) => seconds + (stages[name] ?? 0), 0);
  return { whole: sum(Object.keys(stages)), export: sum(EXPORT_STAGES) };
}

/** "about 3 min 20 s until the new server answers, 12 s of them until the bundle is sealed (…)". */
export function describePrediction(prediction: Prediction): string {
  const seconds = predictedSeconds(prediction);
  const source =
    prediction.from === "rehearsal"
      ? `the rehearsal of ${prediction.at.slice(0, 10)}`
      : "a sample of this machine";
  return `about ${formatDuration(Math.ceil(seconds.whole))} of outage until the new server answers, ${formatDuration(Math.ceil(seconds.export))} of it until the bundle is sealed: according to ${source}, with a link of 100 Mbit/s`;
}
