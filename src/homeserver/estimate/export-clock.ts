import type { Inventory } from "../../bundle/inventory.ts";
import type { Journal } from "../../journal/journal.ts";
import type { Finding } from "../../report/finding.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { formatDuration } from "../../report/units.ts";
import type { Machine } from "../../system/machine.ts";
import { isDatabaseArtifact } from "../database/artifact.ts";
import type { Source } from "../source.ts";
import { expectedOutage } from "./expected.ts";

/** When people lost their server, ISO 8601; null when that is not known or did not happen. */
export const outageSince = ({ facts }: Pick<Journal, "facts">): string | null => facts[OUTAGE] ?? null;

export const OUTAGE = "outageSince";

/** Knows how long people have been without their server, and how long each piece took. */
export class ExportClock {
  readonly #journal: Journal;
  readonly #machine: Pick<Machine, "now" | "elapsed">;
  readonly #view: ProgressView;
  /** Seconds, of those that were really done in this run. */
  readonly #took = new Map<string, number>();

  constructor(journal: Journal, machine: Pick<Machine, "now" | "elapsed">, view: ProgressView) {
    this.#journal = journal;
    this.#machine = machine;
    this.#view = view;
  }

  /** The server is about to be stopped. */
  async outageBegins(): Promise<void> {
    await this.#journal.setFact(OUTAGE, new Date(this.#machine.now()).toISOString());
    this.#show();
  }

  /** It was down already: since the first run that found it so, unless it ran and wrote in between. */
  async foundDown(marker: string): Promise<void> {
    const dumped = this.#journal.steps["export/database"]?.inputs["database"];
    const ranAgain = dumped !== undefined && dumped !== marker;
    if (outageSince(this.#journal) === null || ranAgain) await this.outageBegins();
    else this.#show();
  }

  async time<T>(piece: "database" | "seal", act: () => Promise<T>): Promise<T> {
    const [began, before] = [this.#machine.elapsed(), this.#journal.steps["export/database"]];
    const result = await act();
    // One that was done already took no time, and says nothing.
    if (piece !== "database" || this.#journal.steps["export/database"] !== before)
      this.#took.set(piece, (this.#machine.elapsed() - began) / 1000);
    return result;
  }

  /** How long it was, or how long it is to be. */
  findings(source: Source, inventory: Inventory): Finding[] {
    const since = inventory.rehearsal ? null : outageSince(this.#journal);
    if (since !== null) {
      const seconds = (this.#machine.now() - Date.parse(since)) / 1000;
      return [
        {
          id: "outage",
          level: "ok",
          sentence: `people have been without their server for ${formatDuration(seconds)}, since ${since}`,
          evidence: this.#evidence(),
        },
      ];
    }
    const dump = inventory.artifacts.find(({ name }) => isDatabaseArtifact(name));
    const databaseSeconds = this.#took.get("database");
    if (!inventory.rehearsal || !dump || databaseSeconds === undefined) return [];
    return [
      expectedOutage({
        databaseSeconds,
        sealSeconds: this.#took.get("seal") ?? 0,
        dump,
        bundleBytes: inventory.artifacts.reduce((sum, { size }) => sum + size, 0),
        mediaBytes: source.media.bytes,
        mediaFiles: source.media.files,
      }),
    ];
  }

  #evidence(): string[] {
    return [...this.#took].map(([piece, seconds]) => `${piece}: ${formatDuration(seconds)}`);
  }

  #show(): void {
    const since = outageSince(this.#journal);
    if (since !== null) this.#view.outage(Date.parse(since));
  }
}
