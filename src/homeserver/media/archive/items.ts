import type { Bytes } from "../../../pipeline/stage.ts";
import type { Upload } from "./upload.ts";

/** An upload with its file, on the way into an archive. */
export interface ArchiveItem {
  readonly upload: Upload;
  /** Bytes, when it was last looked at. */
  readonly size: number;
  /** What the file has now: it may be longer or shorter, or throw for a file that is gone. To be called once. */
  content(): Bytes;
}

/** Uploads one after another, the next of which can be looked at. */
export interface ArchiveItems {
  /** The next one, or undefined when there is none, or when it is better to pack first what was taken since `beginPart`. */
  peek(): Promise<ArchiveItem | undefined>;
  /** Goes on from what `peek` gave. */
  take(): void;
  beginPart(): void;
}

/** Uploads out of any sequence. */
export class ItemsOf implements ArchiveItems {
  readonly #source: AsyncIterator<ArchiveItem>;
  #next: ArchiveItem | undefined;
  #ended = false;

  constructor(source: AsyncIterable<ArchiveItem> | Iterable<ArchiveItem>) {
    this.#source =
      Symbol.asyncIterator in source
        ? source[Symbol.asyncIterator]()
        : inTurn(source)[Symbol.asyncIterator]();
  }

  async peek(): Promise<ArchiveItem | undefined> {
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

  beginPart(): void {
    // Nobody waits for what was taken.
  }
}

async function* inTurn<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
  for (const item of items) yield await Promise.resolve(item);
}
