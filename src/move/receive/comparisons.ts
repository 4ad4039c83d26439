import type { Digest } from "../../pipeline/digest.ts";

/** A running comparison, with everybody who waits for it. */
interface Comparison {
  readonly ended: Promise<Digest>;
  /** Called with the bytes of each piece that was read. */
  readonly tell: Set<(bytes: number) => void>;
}

/** Comparisons of what is stored with what was announced: one at a time for each upload, however many ask for it. */
export class Comparisons {
  readonly #running = new Map<string, Comparison>();

  isRunning(id: string): boolean {
    return this.#running.has(id);
  }

  /** Joins the comparison of that upload, or begins one. `ended` rejects with what `compare` throws. */
  join(id: string, compare: (tell: (bytes: number) => void) => Promise<Digest>): Comparison {
    const running = this.#running.get(id);
    if (running) return running;
    const tell = new Set<(bytes: number) => void>();
    const ended = compare((bytes) => {
      for (const one of tell) one(bytes);
    }).finally(() => this.#running.delete(id));
    const begun = { ended, tell };
    this.#running.set(id, begun);
    return begun;
  }

  /** Begins one that nobody waits for: what it finds is in the upload's state. */
  begin(id: string, compare: (tell: (bytes: number) => void) => Promise<Digest>): void {
    void this.join(id, compare).ended.catch(() => undefined);
  }

  /** Resolves when none runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0)
      await Promise.allSettled([...this.#running.values()].map(({ ended }) => ended));
  }
}
