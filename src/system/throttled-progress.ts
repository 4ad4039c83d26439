import type { Progress, Task } from "./progress.ts";

/** Does a piece of work, whose `tell` may be called for each of a million. */
export async function withProgress<T>(
  progress: Progress,
  work: Task,
  act: (tell: (units: number) => void) => Promise<T>,
): Promise<T> {
  progress.begin(work);
  const steps = new Steps(work.unit === "bytes" ? 1024 * 1024 : 1000, (units) => {
    progress.advance(work.id, units);
  });
  const done = await act((units) => {
    steps.add(units);
  });
  steps.end();
  progress.end(work.id);
  return done;
}

/** Tells now and then, not each time. */
class Steps {
  #units = 0;
  readonly #step: number;
  readonly #tell: (units: number) => void;

  constructor(step: number, tell: (units: number) => void) {
    this.#step = step;
    this.#tell = tell;
  }

  add(units: number): void {
    this.#units += units;
    if (this.#units >= this.#step) this.end();
  }

  end(): void {
    if (this.#units > 0) this.#tell(this.#units);
    this.#units = 0;
  }
}
