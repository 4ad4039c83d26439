import type { Bytes } from "./transform.ts";

/** Chunks that are waiting for the reader at most: enough to read the next while the last is used. */
const ROOM = 2;

/** Hands chunks from one writer to one reader. The writer waits for the reader, and learns when it has gone. */
export class Handoff {
  readonly #chunks: Uint8Array[] = [];
  #end: { readonly error?: unknown } | undefined;
  #left = false;
  #wakeReader = () => {};
  #wakeWriter = () => {};

  /** Resolves when there is room for another one. Throws when the reader has gone: nobody sees that error. */
  async put(chunk: Uint8Array): Promise<void> {
    this.#throwIfLeft();
    this.#chunks.push(chunk);
    this.#wakeReader();
    if (this.#chunks.length < ROOM) return;
    await new Promise<void>((resolve) => (this.#wakeWriter = resolve));
    this.#throwIfLeft();
  }

  /** Nothing more comes. */
  end(): void {
    this.#end ??= {};
    this.#wakeReader();
  }

  /** The reader gets this error, after the chunks that were put before. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wakeReader();
  }

  async *read(): Bytes {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) {
        this.#wakeWriter();
        yield chunk;
      } else if (this.#end === undefined) await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      else if ("error" in this.#end) throw this.#end.error;
      else return;
    }
  }

  /** Nobody reads any more. */
  leave(): void {
    this.#left = true;
    this.#wakeWriter();
  }

  #throwIfLeft(): void {
    if (this.#left) throw new Error("nobody reads any more");
  }
}
