import type { Work } from "../system/progress.ts";
import { Rate } from "./rate.ts";

/** A piece of work that has begun and has not ended, with what there is to say about it now. */
export interface RunningWork {
  readonly work: Work;
  readonly done: number;
  /** Seconds since it began. */
  readonly seconds: number;
  /** Units per second of late; undefined until enough was seen. */
  readonly rate: number | undefined;
  /** Seconds; undefined when nobody can know. */
  readonly remaining: number | undefined;
  /** Units per second from its beginning; undefined where that would be a chance figure. */
  readonly meanRate: number | undefined;
}

/** Keeps count of the works that are under way. An id that never began is taken no notice of. */
export class RunningWorks {
  readonly #elapsed: () => number;
  readonly #running = new Map<string, { work: Work; began: number; done: number; rate: Rate }>();

  /** `elapsed` is in milliseconds and must not jump. */
  constructor(elapsed: () => number) {
    this.#elapsed = elapsed;
  }

  /** A work that begins again begins at nothing. */
  begin(work: Work): RunningWork {
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

  /** Takes it off the list, handing out its last state. */
  end(id: string): RunningWork | undefined {
    const last = this.find(id);
    this.#running.delete(id);
    return last;
  }

  find(id: string): RunningWork | undefined {
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
      // A total that was passed was a guess; what is left of it says nothing.
      remaining:
        work.total === undefined || done > work.total ? undefined : rate.remaining(work.total - done, now),
      meanRate: seconds >= 1 && done > 0 ? done / seconds : undefined,
    };
  }

  /** In the order in which they began. */
  all(): RunningWork[] {
    return [...this.#running.keys()].map((id) => this.find(id)!);
  }

  get size(): number {
    return this.#running.size;
  }
}
