import { join } from "node:path";
import { z } from "zod";
import type { Files } from "../system/files/files.ts";
import type { Machine } from "../system/machine.ts";
import type { Progress, Task } from "../system/progress.ts";
import { PROGRESS } from "./layout.ts";

const nowSchema = z.object({
  label: z.string(),
  unit: z.enum(["bytes", "files", "rows", "notices"]),
  done: z.number(),
  total: z.number().nullable(),
  /** ISO 8601. */
  at: z.string(),
});

/** What a run is doing now, for other processes such as `synlift status`. */
export type CurrentProgress = z.infer<typeof nowSchema>;

/** The progress of a run; undefined when it is not known. */
export async function readProgress(folder: string, files: Files): Promise<CurrentProgress | undefined> {
  try {
    return nowSchema.parse(JSON.parse(await files.readText(join(folder, PROGRESS))));
  } catch {
    return undefined;
  }
}

/** Passes progress on, and writes the latest state to a file in the bundle's folder, at most once a second. */
export class PersistedProgress implements Progress {
  #path: string;
  #inner: Progress;
  #files: Files;
  #clock: Pick<Machine, "now" | "elapsed">;
  #work: Task | undefined;
  #done = 0;
  #written = -Infinity;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(folder: string, inner: Progress, files: Files, clock: Pick<Machine, "now" | "elapsed">) {
    this.#path = join(folder, PROGRESS);
    this.#inner = inner;
    this.#files = files;
    this.#clock = clock;
  }

  begin(work: Task): void {
    this.#work = work;
    this.#done = 0;
    this.#keep();
    this.#inner.begin(work);
  }

  advance(id: string, units: number): void {
    if (id === this.#work?.id) this.#done += units;
    this.#keep();
    this.#inner.advance(id, units);
  }

  end(id: string): void {
    this.#inner.end(id);
  }

  remark(work: Pick<Task, "id" | "label">, why: string): void {
    this.#inner.remark(work, why);
  }

  note(sentence: string): void {
    this.#inner.note(sentence);
  }

  /** Removes the file. Call it at the end of the run, also after a failure. */
  async clear(): Promise<void> {
    this.#work = undefined;
    await this.#writing;
    await this.#files.remove(this.#path);
  }

  #keep(): void {
    if (!this.#work || this.#clock.elapsed() - this.#written < 1000) return;
    this.#written = this.#clock.elapsed();
    const { label, unit, total = null } = this.#work;
    const now: CurrentProgress = {
      label,
      unit,
      done: this.#done,
      total,
      at: new Date(this.#clock.now()).toISOString(),
    };
    // Errors are ignored here: the writer of the bundle reports a full disk.
    this.#writing = this.#writing
      .then(() => this.#files.writeAtomically(this.#path, `${JSON.stringify(now)}\n`))
      .catch(() => undefined);
  }
}
