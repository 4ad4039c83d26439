import { z } from "zod";
import type { Inventory } from "../../bundle/inventory.ts";
import { isDatabaseArtifact } from "../../homeserver/database/artifact.ts";
import { DATABASE_STEP } from "../../homeserver/database/export.ts";
import type { Journal } from "../../journal/journal.ts";
import type { Finding } from "../../report/finding.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { formatDuration } from "../../report/units.ts";
import type { Machine } from "../../system/machine.ts";
import { traced } from "../../system/trace/trace.ts";
import { OUTAGE_BOOT, OUTAGE_SINCE, outageSeconds } from "../old-server/journal-facts.ts";
import { predictedSeconds, type Prediction } from "../outage/prediction.ts";
import { expectedOutage, type Rehearsed } from "../outage/rehearsed.ts";
import type { SourceState } from "./source.ts";

/** When the outage started, ISO 8601; null when that is unknown or did not happen. */
export const outageSince = ({ facts }: Pick<Journal, "facts">): string | null => facts[OUTAGE_SINCE] ?? null;

/** The journal fact with the duration of each stage, in whichever run it was done. */
const DURATIONS = "took";

type Clocks = Pick<Machine, "now" | "elapsed" | "sinceBoot">;

/** Stages of the outage that belong to the export, with the ids of `estimateMove`. */
export type ExportStage = "stop" | "database" | "media" | "seal";

const tookSchema = z.record(
  z.string(),
  z.object({ piece: z.enum(["stop", "database", "media", "seal"]), seconds: z.number() }),
);

/** Measures the outage and the duration of each of its stages. */
export class ExportClock {
  readonly #journal: Journal;
  readonly #machine: Clocks;
  readonly #view: ProgressView;

  constructor(journal: Journal, machine: Clocks, view: ProgressView) {
    this.#journal = journal;
    this.#machine = machine;
    this.#view = view;
  }

  /** The server is about to be stopped, or was already stopped. */
  async recordOutageStart(): Promise<void> {
    await this.#journal.setFact(OUTAGE_SINCE, new Date(this.#machine.now()).toISOString());
    const boot = this.#machine.sinceBoot();
    if (boot) await this.#journal.setFact(OUTAGE_BOOT, JSON.stringify(boot));
    else await this.#journal.removeFact(OUTAGE_BOOT);
    this.#show();
  }

  /** The stop failed, and the server still runs. */
  async cancelOutage(): Promise<void> {
    await this.#journal.removeFact(OUTAGE_SINCE);
    await this.#journal.removeFact(OUTAGE_BOOT);
  }

  /** The server was already stopped: since the first run that found it so, unless it has run and written in between. */
  async recordAlreadyDown(marker: string): Promise<void> {
    const dumped = this.#journal.steps["export/database"]?.inputs["database"];
    const ranAgain = dumped !== undefined && dumped !== marker;
    if (outageSince(this.#journal) === null || ranAgain) await this.recordOutageStart();
    else this.#show();
  }

  /** Records how long a stage took. A step that was done by an earlier run is not counted. */
  async time<T>(piece: ExportStage, id: string, act: () => Promise<T>): Promise<T> {
    const [began, before] = [this.#machine.elapsed(), this.#journal.steps[id]];
    const result = await traced("stage", piece, act);
    if (before === undefined || this.#journal.steps[id] !== before) {
      const seconds = (this.#machine.elapsed() - began) / 1000;
      await this.#journal.setFact(DURATIONS, JSON.stringify({ ...this.#took(), [id]: { piece, seconds } }));
    }
    return result;
  }

  /** What a rehearsal measured; undefined before its database is packed. */
  rehearsed({ media }: SourceState, inventory: Inventory): Rehearsed | undefined {
    const dump = inventory.artifacts.find(({ name }) => isDatabaseArtifact(name));
    const took = this.#seconds("database");
    if (!dump || took === undefined) return undefined;
    // The file of a stopped server is packed without a copy.
    const { copySeconds = 0 } = this.#journal.steps[DATABASE_STEP]?.outcome ?? {};
    return {
      databaseSeconds: took - Number(copySeconds),
      sealSeconds: this.#seconds("seal") ?? 0,
      dump,
      bundleBytes: inventory.artifacts.reduce((sum, { size }) => sum + size, 0),
      mediaBytes: media.bytes,
      mediaFiles: media.files,
    };
  }

  /** How long the outage has been, with the prediction; after a rehearsal, how long it will be. */
  findings(source: SourceState, inventory: Inventory, predicted: Prediction | undefined): Finding[] {
    if (inventory.rehearsal) {
      const rehearsed = this.rehearsed(source, inventory);
      return rehearsed ? [expectedOutage(rehearsed)] : [];
    }
    const since = outageSince(this.#journal);
    if (since === null) return [];
    const seconds = outageSeconds(this.#journal, this.#machine) ?? 0;
    const told =
      predicted === undefined
        ? ""
        : `; ${formatDuration(predictedSeconds(predicted).export)} until now were predicted, ${formatDuration(predictedSeconds(predicted).whole)} in all`;
    return [
      {
        id: "outage",
        level: "ok",
        sentence: `the outage has lasted ${formatDuration(seconds)}, since ${since}${told}`,
        evidence: this.pieces(predicted).map(({ label, text }) => `${label}: ${text}`),
      },
    ];
  }

  /** Each finished stage of the outage, with its prediction. */
  pieces(predicted: Prediction | undefined): { label: string; value: number; text: string }[] {
    return EXPORT_STAGES.flatMap(([piece, label]) => {
      const value = this.#seconds(piece);
      if (value === undefined) return [];
      const told = predicted?.stages[piece];
      const text = `${formatDuration(value)}${told === undefined ? "" : `, ${formatDuration(told)} predicted`}`;
      return [{ label, value, text }];
    });
  }

  #seconds(piece: ExportStage): number | undefined {
    const all = Object.values(this.#took()).filter((one) => one.piece === piece);
    return all.length === 0 ? undefined : all.reduce((sum, { seconds }) => sum + seconds, 0);
  }

  #took(): z.infer<typeof tookSchema> {
    try {
      return tookSchema.parse(JSON.parse(this.#journal.facts[DURATIONS] ?? "{}"));
    } catch {
      // It is only shown: nothing depends on it.
      return {};
    }
  }

  #show(): void {
    const seconds = outageSeconds(this.#journal, this.#machine);
    if (seconds !== undefined) this.#view.outage(this.#machine.now() - seconds * 1000);
  }
}

const EXPORT_STAGES: readonly (readonly [ExportStage, string])[] = [
  ["stop", "stop and fence the old server"],
  ["database", "pack the database"],
  ["media", "pack the media added since"],
  ["seal", "seal the bundle"],
];
