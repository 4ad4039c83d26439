import {
  type Files,
  SMALL_FILE,
  SMALL_FILES,
  type SmallFile,
  type SmallFileBatch,
  type SmallFileReader,
} from "../../../system/files/files.ts";

/** Files that are asked for at once, and how many such requests are under way: the next is read while one is packed. */
const AT_ONCE = 128;
const UNDER_WAY = 2;

/** What is known of a file before it is read. */
interface Expected {
  /** Below the store. */
  readonly name: string;
  /** Bytes, when it was last looked at. */
  readonly size: number;
}

/** A file with what was read of it; undefined when it was too large to be asked for. */
export interface Reading<Item> {
  readonly item: Item;
  readonly read: SmallFile | undefined;
  /** Keeps the content from being overwritten until the returned function is called. To be called while it is this file's turn. */
  readonly hold: () => () => void;
}

/**
 * Files in their order, small ones already read, some ahead. The content of each is valid until the next is asked for, or
 * longer where it is held.
 */
export async function* readSmallFiles<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  expected: (item: Item) => Expected,
  { store, files }: { readonly store: string; readonly files: Files },
): AsyncIterable<Reading<Item>> {
  const reader = files.smallFiles(store);
  const underWay: Asked<Item>[] = [];
  try {
    for await (const group of groupsOf(items, expected)) {
      underWay.push(ask(group, expected, reader));
      if (underWay.length > UNDER_WAY) yield* answers(underWay.shift()!);
    }
    for (let next = underWay.shift(); next; next = underWay.shift()) yield* answers(next);
  } finally {
    reader.close();
  }
}

interface Asked<Item> {
  readonly group: readonly Item[];
  /** Of each, its place in the answer. */
  readonly places: readonly (number | undefined)[];
  readonly answer: Promise<SmallFileBatch> | undefined;
}

function ask<Item>(
  group: readonly Item[],
  expected: (item: Item) => Expected,
  reader: SmallFileReader,
): Asked<Item> {
  const names: string[] = [];
  const places = group.map((item) => {
    const { name, size } = expected(item);
    return size > SMALL_FILE ? undefined : names.push(name) - 1;
  });
  const answer = names.length === 0 ? undefined : reader.read(names);
  // It is awaited later; until then a rejection must not count as unhandled.
  answer?.catch(() => undefined);
  return { group, places, answer };
}

async function* answers<Item>({ group, places, answer }: Asked<Item>): AsyncIterable<Reading<Item>> {
  const batch = await answer;
  const held = new Held(batch);
  const hold = () => held.hold();
  const release = hold();
  try {
    for (const [index, item] of group.entries()) {
      const place = places[index];
      yield { item, read: place === undefined ? undefined : batch!.files[place], hold };
    }
  } finally {
    release();
  }
}

/** Counts who still uses a batch. */
class Held {
  readonly #batch: SmallFileBatch | undefined;
  #users = 0;

  constructor(batch: SmallFileBatch | undefined) {
    this.#batch = batch;
  }

  hold(): () => void {
    this.#users += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#users -= 1;
      if (this.#users === 0) this.#batch?.release();
    };
  }
}

/** As many as are asked for at once. */
async function* groupsOf<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  expected: (item: Item) => Expected,
): AsyncIterable<readonly Item[]> {
  let group: Item[] = [];
  let bytes = 0;
  for await (const item of items) {
    const { size } = expected(item);
    const small = size > SMALL_FILE ? 0 : size;
    if (group.length >= AT_ONCE || bytes + small > SMALL_FILES) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(item);
    bytes += small;
  }
  if (group.length > 0) yield group;
}
