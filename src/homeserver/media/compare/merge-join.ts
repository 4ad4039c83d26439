import type { WalkEntry } from "../../../system/files/files.ts";

/** The handlers of a merge join between rows and files. */
export interface MergeJoinHandlers<Row> {
  /** The key that a file's name below the folder stands for; undefined when no row can have such a file. */
  keyAt(name: string): string | undefined;
  /** The start that all keys below a folder have, by the folder's name; empty for the first folder. */
  prefixAt(name: string): string;
  /** A row, and the regular file in its place. */
  both(row: Row, file: WalkEntry): Promise<void> | undefined;
  /** A row without a file; `unseen` when its folder cannot be read, so that it is unknown. */
  rowOnly(row: Row, unseen: boolean): Promise<void> | undefined;
  /** An entry without a row: a file, a link or other special file, or something that cannot be read. */
  fileOnly(file: WalkEntry): void;
}

/**
 * Merge join of rows and files in the same order: rows by their key, byte by byte (ORDER BY … COLLATE "C",
 * SQLite's BINARY), files as `Files.walk` finds them. Each is looked at once, so memory stays flat however many
 * there are. All rows are read, also when there are no files.
 */
export async function mergeJoin<Row extends { readonly key: string }>(
  rows: AsyncIterable<Row>,
  files: AsyncIterable<readonly WalkEntry[]>,
  meeting: MergeJoinHandlers<Row>,
): Promise<void> {
  const walk = new WalkCursor(files, meeting);
  let closed: string | undefined;
  const passTo = async (key: string | undefined) => {
    for (;;) {
      if (!walk.file && !(await walk.more())) return;
      if (walk.key !== undefined && key !== undefined) {
        if (walk.key > key || (walk.key === key && walk.file!.kind === "file")) return;
      }
      if (walk.file!.kind === "closed") closed = walk.key;
      meeting.fileOnly(walk.file!);
      walk.step();
    }
  };
  try {
    // The walk is under way while the database still sorts.
    await walk.more();
    for await (const row of rows) {
      const { key } = row;
      if (walk.key !== key || walk.file?.kind !== "file") await passTo(key);
      if (walk.file && walk.key === key) {
        const work = meeting.both(row, walk.file);
        walk.step();
        if (work) await work;
      } else {
        const work = meeting.rowOnly(row, closed !== undefined && key.startsWith(closed));
        if (work) await work;
      }
    }
    await passTo(undefined);
  } finally {
    await walk.end();
  }
}

/** The position in the walk. */
class WalkCursor {
  file: WalkEntry | undefined;
  /** Of `file`; undefined when it stands outside the order. */
  key: string | undefined;
  readonly #batches: AsyncIterator<readonly WalkEntry[]>;
  readonly #names: Pick<MergeJoinHandlers<never>, "keyAt" | "prefixAt">;
  #batch: readonly WalkEntry[] = [];
  #next = 0;

  constructor(
    batches: AsyncIterable<readonly WalkEntry[]>,
    names: Pick<MergeJoinHandlers<never>, "keyAt" | "prefixAt">,
  ) {
    this.#batches = batches[Symbol.asyncIterator]();
    this.#names = names;
  }

  /** Goes on to the next in this batch; there may be none. */
  step(): void {
    this.file = this.#batch[this.#next++];
    if (!this.file) return;
    const { kind, name } = this.file;
    this.key = kind === "closed" ? this.#names.prefixAt(name) : this.#names.keyAt(name);
  }

  /** The next batch; false at the end. */
  async more(): Promise<boolean> {
    while (!this.file) {
      const next = await this.#batches.next();
      if (next.done === true) return false;
      this.#batch = next.value;
      this.#next = 0;
      this.step();
    }
    return true;
  }

  async end(): Promise<void> {
    await this.#batches.return?.();
  }
}
