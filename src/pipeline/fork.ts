import { share } from "../system/memory.ts";
import type { Bytes } from "./stage.ts";

/** Chunks that the slower of two readers may be behind. */
const AHEAD = 2;

/**
 * One source for two readers, each of which gets all of it. It is read once, and not before both have begun or left; who
 * is quick waits for who is slow. A failure of the source is a failure for both.
 */
export class Fork {
  readonly #source: AsyncIterator<Uint8Array>;
  /** What each of the two is given of a chunk. */
  readonly #chunks: (readonly [Uint8Array, Uint8Array])[] = [];
  /** Chunks that nobody needs any more. */
  #gone = 0;
  /** How many chunks each has taken; Infinity when it left. Undefined before it begins. */
  readonly #taken: [number | undefined, number | undefined] = [undefined, undefined];
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #pulling = false;
  #waiting: (() => void)[] = [];

  constructor(source: Bytes) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** What reader 0 or 1 reads; each once. Whoever does not read calls `leave`. */
  async *read(reader: 0 | 1): Bytes {
    if (this.#taken[reader] === Infinity) return;
    this.#taken[reader] = 0;
    this.#tell();
    try {
      for (;;) {
        const taken: number = this.#taken[reader];
        const chunk = this.#chunks[taken - this.#gone]?.[reader];
        if (chunk) {
          this.#taken[reader] = taken + 1;
          this.#forget();
          yield chunk;
        } else if (this.#failure) throw this.#failure.error;
        else if (this.#ended) return;
        else if (this.#mayPull) await this.#pull();
        else await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      await this.leave(reader);
    }
  }

  /** Lets the other go on alone; when both have left, the source is let go. May be called twice. */
  async leave(reader: 0 | 1): Promise<void> {
    if (this.#taken[reader] === Infinity) return;
    this.#taken[reader] = Infinity;
    this.#forget();
    this.#tell();
    if (this.#taken.every((taken) => taken === Infinity) && !this.#ended) await this.#source.return?.();
  }

  /** Whether both are still there to read. */
  get #isRead(): boolean {
    return !this.#taken.includes(Infinity);
  }

  get #mayPull(): boolean {
    return !this.#pulling && this.#chunks.length < AHEAD && this.#taken.every((taken) => taken !== undefined);
  }

  async #pull(): Promise<void> {
    this.#pulling = true;
    try {
      const result = await this.#source.next();
      if (result.done === true) this.#ended = true;
      else this.#chunks.push(this.#isRead ? share(result.value) : [result.value, result.value]);
    } catch (error) {
      this.#ended = true;
      this.#failure = { error };
    } finally {
      this.#pulling = false;
      this.#forget();
      this.#tell();
    }
  }

  #forget(): void {
    const least = Math.min(...this.#taken.map((taken) => taken ?? 0));
    const done = Math.min(least - this.#gone, this.#chunks.length);
    if (done <= 0) return;
    this.#chunks.splice(0, done);
    this.#gone += done;
    this.#tell();
  }

  #tell(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
