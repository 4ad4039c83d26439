/**
 * The rate of a task over the last two minutes, in buckets of one second.
 *
 * Times are milliseconds of a monotonic clock; a time that goes back is treated as unchanged.
 * An unknown rate or duration is undefined: never a guess, negative or NaN.
 */
export class Rate {
  readonly #began: number;
  readonly #buckets = new Float64Array(WINDOW);
  #latest = 0;

  constructor(now: number) {
    this.#began = now;
  }

  /** Adds units that were completed. */
  add(units: number, now: number): void {
    if (!Number.isFinite(units) || units <= 0) return;
    const second = this.#moveTo(now);
    this.#buckets[second % WINDOW]! += units;
  }

  /** Units per second; undefined in the first two seconds. 0 means no progress for two minutes. */
  perSecond(now: number): number | undefined {
    const second = this.#moveTo(now);
    const sinceBegin = Math.max(now - this.#began, this.#latest * 1000);
    if (!(sinceBegin >= KNOWN_AFTER)) return undefined;
    const windowBegan = Math.max(0, second - (WINDOW - 1)) * 1000;
    return this.#buckets.reduce((sum, units) => sum + units, 0) / ((sinceBegin - windowBegan) / 1000);
  }

  /** Seconds until `left` more units are done; undefined in the first five seconds, without progress, and beyond 99 days. */
  remaining(left: number, now: number): number | undefined {
    const rate = this.perSecond(now);
    if (rate === undefined || now - this.#began < ESTIMATE_AFTER) return undefined;
    // At a rate of 0 this is Infinity or NaN, and neither is between the two.
    const seconds = left / rate;
    return seconds >= 0 && seconds <= LONGEST ? seconds : undefined;
  }

  /** The second of `now`, counted from the beginning; buckets that fell out of the window are emptied. */
  #moveTo(now: number): number {
    const second = Math.floor((now - this.#began) / 1000);
    if (!(second > this.#latest)) return this.#latest;
    if (second - this.#latest >= WINDOW) this.#buckets.fill(0);
    else for (let past = this.#latest + 1; past <= second; past += 1) this.#buckets[past % WINDOW] = 0;
    this.#latest = second;
    return second;
  }
}

const WINDOW = 120;
const KNOWN_AFTER = 2_000;
const ESTIMATE_AFTER = 5_000;
const LONGEST = 99 * 24 * 3600;
