import type { Machine } from "../system/machine.ts";

/** How long an outage has lasted. From its start here it runs on the monotonic clock, which nobody sets. */
export class OutageTimer {
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly #began: number;
  readonly #clock: Pick<Machine, "elapsed">;

  /** `since` is in milliseconds since 1970; one in the future counts as now. */
  constructor(since: number, clock: Pick<Machine, "now" | "elapsed">) {
    this.since = since;
    this.#clock = clock;
    this.#began = clock.elapsed() - Math.max(0, clock.now() - since);
  }

  get seconds(): number {
    return (this.#clock.elapsed() - this.#began) / 1000;
  }
}
