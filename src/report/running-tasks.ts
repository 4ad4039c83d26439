import type { Task } from "../system/progress.ts";
import { Rate } from "./rate.ts";

/** A running task and its current state. */
export interface RunningTask {
  readonly work: Task;
  readonly done: number;
  /** Seconds since it began. */
  readonly seconds: number;
  /** Recent units per second; undefined until it can be measured. */
  readonly rate: number | undefined;
  /** Seconds; undefined when unknown. */
  readonly remaining: number | undefined;
  /** Mean units per second since the beginning; undefined when it is too short to be meaningful. */
  readonly meanRate: number | undefined;
}

/** The running tasks. Unknown ids are ignored. */
export class RunningTasks {
  readonly #elapsed: () => number;
  readonly #running = new Map<string, { work: Task; began: number; done: number; rate: Rate }>();

  /** `elapsed` is in milliseconds and must not jump. */
  constructor(elapsed: () => number) {
    this.#elapsed = elapsed;
  }

  /** Begins a task; if it is already running, it starts again at 0. */
  begin(work: Task): RunningTask {
    const began = this.#elapsed();
    this.#running.set(work.id, { work, began, done: 0, rate: new Rate(began) });
    return this.find(work.id)!;
  }

  /** False when there is no such work. */
  advance(id: string, units: number): boolean {
    const entry = this.#running.get(id);
    if (!entry) return false;
    if (Number.isFinite(units) && units > 0) entry.done += units;
    entry.rate.add(units, this.#elapsed());
    return true;
  }

  /** Removes a task and returns its last state. */
  end(id: string): RunningTask | undefined {
    const last = this.find(id);
    this.#running.delete(id);
    return last;
  }

  find(id: string): RunningTask | undefined {
    const entry = this.#running.get(id);
    if (!entry) return undefined;
    const { work, began, done, rate } = entry;
    const now = this.#elapsed();
    const seconds = Math.max(0, now - began) / 1000;
    return {
      work,
      done,
      seconds,
      rate: rate.perSecond(now),
      // A total that was exceeded was wrong, so the remaining time is unknown.
      remaining:
        work.total === undefined || done > work.total ? undefined : rate.remaining(work.total - done, now),
      meanRate: seconds >= 1 && done > 0 ? done / seconds : undefined,
    };
  }

  /** In the order in which they began. */
  all(): RunningTask[] {
    return [...this.#running.keys()].map((id) => this.find(id)!);
  }

  get size(): number {
    return this.#running.size;
  }
}
