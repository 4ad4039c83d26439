import type { DatabaseLookFacts } from "../../homeserver/database/inspect.ts";
import type { OpenDatabase } from "../../homeserver/database/open.ts";
import type { MediaFacts } from "../../homeserver/media/facts.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { type Estimate, estimateMove, type Load, type Rates } from "../outage/estimate.ts";
import { measureRates } from "../outage/measure.ts";
import { savedByIgzip, type Saving, savings } from "../outage/savings.ts";
import type { PlanQuestions } from "./questions.ts";

export interface PlanEstimate {
  readonly estimate: Estimate;
  readonly load: Load;
  readonly rates: Rates;
  readonly savings: readonly Saving[];
  /** Approximate seconds that igzip would save where it is not installed; 0 where it is. */
  readonly savedByIgzip: number;
}

/**
 * Measures a sample on this machine and estimates from it. `besides` are the bytes of a second database. Throws what
 * `measureRates` throws.
 */
export async function estimateFromSample(
  opened: OpenDatabase,
  facts: DatabaseLookFacts,
  media: MediaFacts,
  { link, besides }: Pick<PlanQuestions, "link"> & { besides: number },
  system: System,
  progress: Progress,
): Promise<PlanEstimate> {
  const measured = await measureRates(opened, facts, system, progress);
  const rates: Rates = { ...measured.rates, link };
  // The measurements of one database are assumed for the other.
  const share = facts.bytes > 0 ? besides / facts.bytes : 0;
  const load: Load = {
    dumpBytes: measured.dumpBytes * (1 + share),
    databaseBytes: facts.bytes + besides,
    mediaBytes: media.packed?.bytes ?? 0,
    mediaFiles: media.packed?.files ?? 0,
  };
  return {
    estimate: estimateMove(load, rates),
    load,
    rates,
    savings: savings(load, rates, measured.byTable),
    savedByIgzip: measured.gzip === "igzip" ? 0 : savedByIgzip(load, rates, system.machine.cores),
  };
}
