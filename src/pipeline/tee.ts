import { shareBuffer } from "../system/buffers.ts";
import type { Bytes } from "./transform.ts";

/** Chunks that the slower reader may lag behind. */
const MAX_LAG = 2;

/**
 * Passes one source to two readers, each of which gets all of it. The source is read once, and only after both readers
 * have begun or left. The faster reader waits for the slower one. An error of the source is thrown to both.
 */
export class Tee {
  readonly #source: AsyncIterator<Uint8Array>;
  /** A view of each chunk for each reader. */
  readonly #chunks: (readonly [Uint8Array, Uint8Array])[] = [];
  /** Number of chunks that both readers have finished with. */
  #gone = 0;
  /** How many chunks each reader has taken; Infinity after it left, undefined before it begins. */
  readonly #taken: [number | undefined, number | undefined] = [undefined, undefined];
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #pulling = false;
  #waiting: (() => void)[] = [];

  constructor(source: Bytes) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The stream of reader 0 or 1, to be read once. A reader that does not read must call `detach`. */
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
      await this.detach(reader);
    }
  }

  /** Detaches a reader; the other continues alone. When both have left, the source is closed. May be called twice. */
  async detach(reader: 0 | 1): Promise<void> {
    if (this.#taken[reader] === Infinity) return;
    this.#taken[reader] = Infinity;
    this.#forget();
    this.#tell();
    if (this.#taken.every((taken) => taken === Infinity) && !this.#ended) await this.#source.return?.();
  }

  /** Whether both readers are still attached. */
  get #isRead(): boolean {
    return !this.#taken.includes(Infinity);
  }

  get #mayPull(): boolean {
    return (
      !this.#pulling && this.#chunks.length < MAX_LAG && this.#taken.every((taken) => taken !== undefined)
    );
  }

  async #pull(): Promise<void> {
    this.#pulling = true;
    try {
      const result = await this.#source.next();
      if (result.done === true) this.#ended = true;
      else this.#chunks.push(this.#isRead ? shareBuffer(result.value) : [result.value, result.value]);
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
