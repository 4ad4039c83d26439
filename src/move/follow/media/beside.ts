import { Interrupted, MigrationError } from "../../../errors.ts";
import type { MediaCount } from "../../../homeserver/media/pack/existing.ts";
import type { Progress } from "../../../system/progress.ts";
import { formatBytes, formatCountOf, formatDuration } from "../../../report/units.ts";
import type { System } from "../../../system/system.ts";
import type { OldHost } from "../../connect.ts";
import { type PassResult, runMediaPass } from "./pass.ts";
import { type MediaRecord, readMediaRecord, writeMediaRecord } from "./record.ts";

/** Milliseconds until a pass that failed is tried again, at first; then twice as long each time, up to the time between two passes. */
const FIRST_WAIT_MS = 60_000;
/** Milliseconds between two times that what has come is written down, for `follow status`. */
const TOLD_MS = 5_000;
/** So many uploads that differ from their row's hash are named; beyond, `pull` has everything sent again. */
const CHANGED_NAMED = 10_000;

/** The media that are copied beside a database that follows. */
export interface MediaBeside {
  /** As it is now. */
  readonly record: MediaRecord;
  /** Whether a pass of this run has ended, well or not. */
  readonly hasEnded: boolean;
  /** Why the last pass of this run failed. */
  readonly failure: MigrationError | undefined;
  /** Breaks off what runs, and resolves once nothing runs any more. */
  stop(): Promise<void>;
}

/**
 * Copies media in passes, until `stop`. A pass that fails is told, and tried again: whatever is the matter with the media, nothing is
 * thrown. Undefined where no media are copied.
 */
export async function copyMediaBeside(
  { configDir, old }: { configDir: string; old: OldHost },
  system: System,
  progress: Pick<Progress, "note">,
): Promise<MediaBeside | undefined> {
  let record: MediaRecord | undefined;
  try {
    record = await readMediaRecord(configDir, system.files);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    progress.note(`media are not copied: ${error.message}; ${error.hint ?? ""}`);
  }
  if (!record || record.paused) return undefined;
  const stopped = new AbortController();
  const signal = AbortSignal.any([system.signal, stopped.signal]);
  const passes = new Passes({ configDir, old }, record, { ...system, signal }, progress);
  const running = passes.run();
  return {
    get record() {
      return passes.record;
    },
    get hasEnded() {
      return passes.hasEnded;
    },
    get failure() {
      return passes.failure;
    },
    async stop() {
      stopped.abort(new Interrupted("SIGTERM"));
      await running;
    },
  };
}

class Passes {
  record: MediaRecord;
  hasEnded = false;
  failure: MigrationError | undefined;
  readonly #place: { configDir: string; old: OldHost };
  readonly #system: System;
  readonly #progress: Pick<Progress, "note">;

  constructor(
    place: { configDir: string; old: OldHost },
    record: MediaRecord,
    system: System,
    progress: Pick<Progress, "note">,
  ) {
    this.#place = place;
    this.record = record;
    this.#system = system;
    this.#progress = progress;
  }

  /** Until the signal is aborted. Never rejects. */
  async run(): Promise<void> {
    const { machine, signal } = this.#system;
    let wait = FIRST_WAIT_MS;
    while (!this.#isStopped()) {
      const every = this.record.every * 1000;
      const isFirst = this.record.last === null;
      try {
        await this.#pass();
        if (this.#isStopped()) return;
        this.failure = undefined;
        if (isFirst) this.#noteFirst();
        wait = FIRST_WAIT_MS;
        this.hasEnded = true;
        await machine.wait(every, signal);
      } catch (error) {
        if (this.#isStopped()) return;
        const next = Math.min(wait, every);
        await this.#failed(error, next);
        wait *= 2;
        this.hasEnded = true;
        await machine.wait(next, signal).catch(() => undefined);
      }
    }
  }

  #isStopped = () => this.#system.signal.aborted;

  async #pass(): Promise<void> {
    const { machine } = this.#system;
    const began = new Date(machine.now()).toISOString();
    const came: MediaCount = { files: 0, bytes: 0 };
    let told = machine.elapsed();
    let telling: Promise<void> | undefined;
    const running = (toCome: MediaCount | null) => ({ since: began, came: { ...came }, toCome });
    await this.#save({ running: running(null) });
    const advance = () => {
      this.record = { ...this.record, running: running(this.record.running?.toCome ?? null) };
      if (telling || machine.elapsed() - told < TOLD_MS) return;
      told = machine.elapsed();
      // Only for those who look: what cannot be written now is found out at the end.
      telling = this.#save({})
        .catch(() => undefined)
        .finally(() => (telling = undefined));
    };
    let result: PassResult;
    try {
      result = await runMediaPass({ ...this.#place, record: this.record }, this.#system, this.#progress, {
        found: (toCome) => {
          this.record = { ...this.record, running: running({ ...toCome }) };
          told = -Infinity;
          advance();
        },
        received: (bytes) => {
          came.bytes += bytes;
          advance();
        },
        began: () => {
          came.files += 1;
        },
      });
    } finally {
      await telling;
    }
    const { here, all, findings } = result;
    for (const { sentence, evidence = [] } of this.record.last === null ? findings : [])
      this.#progress.note(`on the old host: ${[sentence, ...evidence].join(": ")}`);
    await this.#save({
      running: null,
      failed: null,
      last: { at: new Date(machine.now()).toISOString(), here, came: result.came, all },
      changed: withChanged(this.record.changed, result),
    });
  }

  async #failed(error: unknown, wait: number): Promise<void> {
    const { machine } = this.#system;
    const [code, message] =
      error instanceof MigrationError
        ? [error.code, error.message]
        : // Its message may have anything in it.
          ["program-failed", `an unexpected error (${error instanceof Error ? error.name : typeof error})`];
    this.failure =
      error instanceof MigrationError
        ? error
        : new MigrationError("program-failed", `media could not be copied: ${message}`, { cause: error });
    this.#progress.note(
      `media could not be copied: ${message}; the database follows on, and media are tried again in ${formatDuration(wait / 1000)}`,
    );
    const failed = { at: new Date(machine.now()).toISOString(), code, message };
    try {
      await this.#save({ running: null, failed });
    } catch {
      // On a full disk it cannot even be written down; it was told.
      this.record = { ...this.record, running: null, failed };
    }
  }

  #noteFirst(): void {
    const { last, dir, every } = this.record;
    if (!last) return;
    this.#progress.note(
      `the media are in ${dir}: ${formatCountOf(last.here.files, "file")}, ${formatBytes(last.here.bytes)}; what is new is copied every ${formatDuration(every)}`,
    );
  }

  async #save(changes: Partial<MediaRecord>): Promise<void> {
    this.record = { ...this.record, ...changes };
    await writeMediaRecord(this.#place.configDir, this.record, this.#system.files);
  }
}

/** Those that were sent once more and are right by now stay named: they are only sent again. */
function withChanged(
  before: MediaRecord["changed"],
  { changed, changedCount }: Pick<PassResult, "changed" | "changedCount">,
): MediaRecord["changed"] {
  if (before === null || changedCount > changed.length) return null;
  const all = new Set([...before, ...changed]);
  return all.size > CHANGED_NAMED ? null : [...all];
}
