import type { Files, Unfinished } from "../files/files.ts";
import { type SpanFacts, type SpanKind, type TraceSink, traceTo } from "./trace.ts";

/** What this process has used until now. */
export interface ProcessUsage {
  /** Milliseconds of processor time, of user and system. */
  readonly processor: number;
  /** Bytes of memory. */
  readonly memory: number;
}

export interface TraceOptions {
  readonly files: Pick<Files, "begin">;
  readonly pid: number;
  /** The command's name. */
  readonly command: string;
  /** The program that is traced: "synlift 0.1.0, Node v24.0.0". */
  readonly program: string;
  readonly usage: () => ProcessUsage;
}

/** In which order the kinds are shown, and how their rows are called. */
const ROWS: Readonly<Record<SpanKind, { readonly first: number; readonly label: string }>> = {
  command: { first: 1, label: "command" },
  stage: { first: 100, label: "stages" },
  step: { first: 200, label: "steps" },
  task: { first: 300, label: "tasks" },
  program: { first: 400, label: "programs" },
  wait: { first: 500, label: "waits" },
};

interface OpenSpan {
  readonly kind: SpanKind;
  readonly name: string;
  readonly began: number;
  readonly row: number;
}

/** Milliseconds between two samples of counters. */
const SAMPLE_EVERY = 500;

/** Characters that are written at once. */
const FULL = 64 * 1024;

/**
 * Writes the spans of a run as a file of Google's Trace Event Format (the JSON object form), which Perfetto and
 * chrome://tracing open. Times in it are microseconds since the process started. Spans of one kind that overlap get rows of
 * their own, as the format wants spans in a row to be nested.
 *
 * Once it is begun it never throws: a run must not fail because its trace cannot be written.
 */
export class TraceFile implements TraceSink {
  readonly #file: Unfinished;
  readonly #options: TraceOptions;
  readonly #open = new Map<number, OpenSpan>();
  readonly #usedRows = new Set<number>();
  readonly #knownRows = new Set<number>();
  readonly #sums = new Map<string, { count: number; milliseconds: number }>();
  /** What was added since the last sample. */
  readonly #recent = new Map<string, { count: number; milliseconds: number }>();
  #next = 0;
  #text = "";
  #isFirst = true;
  #writing: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;
  #before: { readonly at: number; readonly usage: ProcessUsage };
  readonly #timer: NodeJS.Timeout;
  readonly #stop: () => void;
  readonly #whole: number;

  private constructor(file: Unfinished, options: TraceOptions) {
    this.#file = file;
    this.#options = options;
    const about = { program: options.program, command: options.command };
    this.#text = `{"displayTimeUnit":"ms","otherData":${JSON.stringify(about)},"traceEvents":[\n`;
    this.#event({ ph: "M", name: "process_name", tid: 0, args: { name: options.program } });
    this.#before = { at: performance.now(), usage: options.usage() };
    this.#timer = setInterval(() => {
      this.#sample();
      this.#write();
    }, SAMPLE_EVERY);
    this.#timer.unref();
    this.#stop = traceTo(this);
    this.#whole = this.begin("command", options.command, 0);
  }

  /** Throws what beginning the file throws. The file is private, and has its name once `close` was called. */
  static async begin(path: string, options: TraceOptions): Promise<TraceFile> {
    return new TraceFile(await options.files.begin(path), options);
  }

  begin(kind: SpanKind, name: string, at: number): number {
    const row = this.#freeRow(kind);
    this.#open.set(++this.#next, { kind, name, began: at, row });
    return this.#next;
  }

  end(span: number, at: number, facts: SpanFacts | Readonly<Record<string, unknown>>): void {
    const found = this.#open.get(span);
    if (found === undefined) return;
    this.#open.delete(span);
    this.#usedRows.delete(found.row);
    const { kind, name, began, row } = found;
    this.#event({
      ph: "X",
      cat: kind,
      name,
      tid: row,
      ts: microseconds(began),
      dur: microseconds(at - began),
      args: facts,
    });
  }

  add(name: string, milliseconds: number): void {
    for (const sums of [this.#sums, this.#recent]) {
      const sum = sums.get(name);
      if (sum === undefined) sums.set(name, { count: 1, milliseconds });
      else {
        sum.count += 1;
        sum.milliseconds += milliseconds;
      }
    }
  }

  /** Ends what is still open, and the file. Returns why there is none, if it could not be written. */
  async close(facts: SpanFacts): Promise<{ readonly error: unknown } | undefined> {
    clearInterval(this.#timer);
    this.#stop();
    this.#sample();
    const now = performance.now();
    for (const span of [...this.#open.keys()])
      if (span !== this.#whole) this.end(span, now, { unfinished: true });
    const sums = [...this.#sums].map(([name, { count, milliseconds }]) => [
      name,
      { count, milliseconds: tidy(milliseconds) },
    ]);
    this.end(this.#whole, now, { ...facts, ...(Object.fromEntries(sums) as object) });
    this.#text += "\n]}\n";
    this.#write();
    await this.#writing;
    try {
      if (this.#failure === undefined) await this.#file.finish();
    } catch (error) {
      this.#failure = { error };
    }
    // After `finish` it does nothing.
    await this.#file.abandon().catch(() => undefined);
    return this.#failure;
  }

  /** The first row of a kind that no open span has. */
  #freeRow(kind: SpanKind): number {
    const { first, label } = ROWS[kind];
    let row = first;
    while (this.#usedRows.has(row)) row += 1;
    this.#usedRows.add(row);
    if (!this.#knownRows.has(row)) {
      this.#knownRows.add(row);
      this.#event({ ph: "M", name: "thread_name", tid: row, args: { name: label } });
      this.#event({ ph: "M", name: "thread_sort_index", tid: row, args: { sort_index: row } });
    }
    return row;
  }

  #sample(): void {
    const [at, usage] = [performance.now(), this.#options.usage()];
    const busy = (usage.processor - this.#before.usage.processor) / Math.max(1, at - this.#before.at);
    this.#before = { at, usage };
    const ts = microseconds(at);
    this.#event({ ph: "C", name: "processor, % of a core", tid: 0, ts, args: { used: tidy(busy * 100) } });
    this.#event({ ph: "C", name: "memory, MiB", tid: 0, ts, args: { used: tidy(usage.memory / 1024 ** 2) } });
    for (const [name, { count, milliseconds }] of this.#recent) {
      this.#event({ ph: "C", name: `${name}, number`, tid: 0, ts, args: { number: count } });
      this.#event({
        ph: "C",
        name: `${name}, milliseconds`,
        tid: 0,
        ts,
        args: { milliseconds: tidy(milliseconds) },
      });
      // A counter keeps its value until it gets another one.
      if (count === 0) this.#recent.delete(name);
      else this.#recent.set(name, { count: 0, milliseconds: 0 });
    }
  }

  #event(fields: Readonly<Record<string, unknown>>): void {
    if (this.#failure) return;
    this.#text += `${this.#isFirst ? "" : ",\n"}${JSON.stringify({ pid: this.#options.pid, ...fields })}`;
    this.#isFirst = false;
    if (this.#text.length >= FULL) this.#write();
  }

  #write(): void {
    const bytes = Buffer.from(this.#text);
    this.#text = "";
    this.#writing = this.#writing.then(async () => {
      if (this.#failure || bytes.length === 0) return;
      try {
        await this.#file.write(bytes);
      } catch (error) {
        this.#failure = { error };
      }
    });
  }
}

const microseconds = (milliseconds: number) => Math.round(milliseconds * 1000);

const tidy = (value: number) => Math.round(value * 10) / 10;
