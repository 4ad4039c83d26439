import { inTurn } from "../../../pipeline/in-turn.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Upload } from "./upload.ts";

/** An upload with its file, on the way into an archive. */
export interface ArchiveItem {
  readonly upload: Upload;
  /** Bytes, when it was last looked at. */
  readonly size: number;
  /** What the file has now: it may be longer or shorter, or throw for a file that is gone. To be called once. */
  content(): Bytes;
  /** What became of it since it was looked at; undefined when it is the same. Asked when it was read. */
  changed?(): Promise<string | undefined>;
}

/** Uploads one after another, the next of which can be looked at. */
export interface ArchiveItems<Item extends ArchiveItem = ArchiveItem> {
  /** The next one, or undefined when there is none. */
  peek(): Promise<Item | undefined>;
  /** Goes on from what `peek` gave. */
  take(): void;
}

/** Uploads out of any sequence. */
export class PeekableItems<Item extends ArchiveItem> implements ArchiveItems<Item> {
  readonly #source: AsyncIterator<Item>;
  #next: Item | undefined;
  #ended = false;

  constructor(source: AsyncIterable<Item> | Iterable<Item>) {
    this.#source =
      Symbol.asyncIterator in source
        ? source[Symbol.asyncIterator]()
        : inTurn(source)[Symbol.asyncIterator]();
  }

  async peek(): Promise<Item | undefined> {
    if (this.#next === undefined && !this.#ended) {
      const result = await this.#source.next();
      if (result.done === true) this.#ended = true;
      else this.#next = result.value;
    }
    return this.#next;
  }

  take(): void {
    this.#next = undefined;
  }

  /** Nothing more is wanted of it. */
  async end(): Promise<void> {
    await this.#source.return?.();
  }
}
