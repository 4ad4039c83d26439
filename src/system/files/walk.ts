import { setImmediate as nextTurn } from "node:timers/promises";
import { isMainThread, parentPort, type Worker, workerData } from "node:worker_threads";
import { startThread } from "../single-executable.ts";
import { addTime, shortTime } from "../trace/trace.ts";
import {
  DirectoryWalker,
  type EntryBatch,
  namesIn,
  NUMBERS_PER_ENTRY,
  unpackEntries,
  type WalkEntry,
} from "./directory-walker.ts";

export type { WalkEntry } from "./directory-walker.ts";

/** From this number of names on, threads are worth the time to start them. */
const MANY = 100;

/** Each uses about 25 MB; two are enough to keep a disk and a reader busy. */
const THREADS = 2;

/** The maximum number of entries that a thread may be ahead of the reader, to limit memory use. */
const AHEAD = 2_000;

export interface WalkOptions {
  /** Yields folders too, each before its content, but not the walked folder itself. */
  readonly folders?: boolean;
  /** Worker threads for a large folder, 2 by default. One is enough where the reader is slower than the walk. */
  readonly threads?: 1 | 2;
}

/**
 * All entries below a folder, depth first, the names in each folder sorted by code unit. Never throws for entries that
 * cannot be read, and leaves out entries that disappear; a missing folder is empty. Symbolic links are not followed,
 * except `folder` itself. Memory use depends on the largest single folder, not on the number of files.
 *
 * Large folders are walked in worker threads: with one asynchronous call per file, a million files take a minute.
 */
export async function* walkFolder(
  folder: string,
  signal?: AbortSignal,
  { folders = false, threads = THREADS }: WalkOptions = {},
): AsyncIterable<readonly WalkEntry[]> {
  signal?.throwIfAborted();
  const names = namesIn(folder);
  if (names === "closed") yield [{ name: "", kind: "closed", size: 0, mode: 0, mtimeMs: 0 }];
  else if (names !== "gone") {
    const order = { task: TASK, folder, names, folders } as const;
    const batches = names.length < MANY ? walkHere(order, signal) : walkInThreads(order, threads, signal);
    for await (const packed of batches) if (packed.numbers.length > 0) yield unpackEntries(packed);
  }
}

async function* walkHere(
  { folder, names, folders }: WorkerOrder,
  signal: AbortSignal | undefined,
): AsyncIterable<EntryBatch> {
  for (const name of names) {
    const descent = new DirectoryWalker(folder, name, folders);
    for (let last = false; !last;) {
      await nextTurn();
      signal?.throwIfAborted();
      const packed = descent.take();
      last = packed.last;
      yield packed;
    }
  }
}

/** Each thread takes every n-th name, so that the reader has them in order by asking the threads in turn. */
async function* walkInThreads(
  order: WorkerOrder,
  number: number,
  signal: AbortSignal | undefined,
): AsyncIterable<EntryBatch> {
  const { names } = order;
  const threads = Array.from(
    { length: number },
    (_, first) => new Thread({ ...order, names: names.filter((_, index) => index % number === first) }),
  );
  const stop = () => {
    for (const thread of threads) thread.fail(signal?.reason);
  };
  signal?.addEventListener("abort", stop, { once: true });
  try {
    for (const index of names.keys()) {
      for (let last = false; !last;) {
        const packed = await threads[index % number]!.next();
        signal?.throwIfAborted();
        last = packed.last;
        yield packed;
      }
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    for (const thread of threads) thread.end();
  }
}

/** What a thread is started with. */
interface WorkerOrder {
  readonly task: typeof TASK;
  readonly folder: string;
  readonly names: readonly string[];
  readonly folders: boolean;
}

const TASK = "walk a folder";

/** The reader's side of a worker thread, which runs this file and sends one `EntryBatch` after another. */
class Thread {
  readonly #worker: Worker;
  readonly #waiting: EntryBatch[] = [];
  #failure: { readonly reason: unknown } | undefined;
  #wake = () => {};

  constructor(order: WorkerOrder) {
    this.#worker = startThread(import.meta.url, {
      workerData: order,
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    this.#worker.on("message", (packed: EntryBatch) => {
      this.#waiting.push(packed);
      this.#wake();
    });
    this.#worker.on("error", (reason) => {
      this.fail(reason);
    });
    this.#worker.on("exit", () => {
      this.fail(new Error("a thread that walks a folder ended too soon"));
    });
  }

  async next(): Promise<EntryBatch> {
    for (;;) {
      const packed = this.#waiting.shift();
      if (packed) {
        this.#worker.postMessage(packed.numbers.length / NUMBERS_PER_ENTRY);
        return packed;
      }
      if (this.#failure) throw this.#failure.reason;
      const began = shortTime();
      await new Promise<void>((resolve) => (this.#wake = resolve));
      addTime("waits for the walk through a folder", began);
    }
  }

  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#wake();
  }

  /** Not awaited, because a hung disk would block it. */
  end(): void {
    this.#worker.unref();
    void this.#worker.terminate();
  }
}

/** What runs in the thread. */
async function serve(
  { folder, names, folders }: WorkerOrder,
  port: NonNullable<typeof parentPort>,
): Promise<void> {
  let room = AHEAD;
  let wake = () => {};
  port.on("message", (read: number) => {
    room += read;
    wake();
  });
  for (const name of names) {
    const descent = new DirectoryWalker(folder, name, folders);
    for (let last = false; !last;) {
      while (room <= 0) await new Promise<void>((resolve) => (wake = resolve));
      const packed = descent.take();
      last = packed.last;
      room -= packed.numbers.length / NUMBERS_PER_ENTRY;
      port.postMessage(packed, [packed.numbers.buffer as ArrayBuffer]);
    }
  }
}

const order = workerData as Partial<WorkerOrder> | null;
if (!isMainThread && parentPort && order?.task === TASK) void serve(order as WorkerOrder, parentPort);
