import { MigrationError } from "../errors.ts";
import type { Progress } from "../system/progress.ts";
import type { System } from "../system/system.ts";
import type { Attempt, Destination, Remote, WantedFile } from "./remote.ts";

/** How persistent a transfer is. */
export interface Persistence {
  /** Files at a time, each over a connection of its own. */
  readonly parallel: number;
  /** Seconds without a byte after which an attempt is given up. */
  readonly silence: number;
  /** Attempts in a row without a new byte after which the transfer is given up. */
  readonly attempts: number;
}

type Host = Pick<System, "machine" | "signal"> & { readonly progress: Progress };

/** Milliseconds before the second attempt; each further one waits twice as long, up to the last. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 60_000;

const waitBefore = (failures: number) => Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1));

/** Reports the files of one transfer as one task, and the checks of each file as tasks of their own. */
interface Task {
  /** "send". */
  readonly id: string;
  readonly label: string;
}

/**
 * Does `act` for each file, several at a time, with a connection for each of them. What may pass is tried again after growing waits, and
 * as long as bytes arrive; any other error ends all of them and is thrown. Throws `transfer-failed` when it gives up, the
 * run's signal's reason, and what `open` throws at the first connection.
 */
export async function transferEach<File extends WantedFile>(
  files: readonly File[],
  destination: Destination,
  act: (remote: Remote, file: File, attempt: Attempt) => Promise<void>,
  options: Persistence & { readonly create: boolean; readonly task: Task },
  host: Host,
): Promise<void> {
  const { progress, signal } = host;
  const { task, parallel } = options;
  if (files.length === 0) return;
  const others = new AbortController();
  const stop = AbortSignal.any([signal, others.signal]);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  progress.begin({ ...task, unit: "bytes", total });
  const queue = [...files];
  const state = { connected: false };
  const worker = async () => {
    const line = new Line(destination, options.create, state);
    try {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        stop.throwIfAborted();
        await persistently(file, line, act, { ...options, stop }, host);
      }
    } catch (error) {
      others.abort(error);
      throw error;
    } finally {
      await line.close();
    }
  };
  const workers = Array.from({ length: Math.min(parallel, files.length) }, () => worker());
  const ended = await Promise.allSettled(workers);
  signal.throwIfAborted();
  const failed = ended.some(({ status }) => status === "rejected");
  // The first error; the others end because of it.
  if (failed) throw others.signal.reason;
  progress.end(task.id);
}

/** A connection that is opened when it is needed, and anew after a failure. */
class Line {
  readonly #destination: Destination;
  readonly #create: boolean;
  readonly #state: { connected: boolean };
  #remote: Remote | undefined;

  constructor(destination: Destination, create: boolean, state: { connected: boolean }) {
    this.#destination = destination;
    this.#create = create;
    this.#state = state;
  }

  /** Whether any connection of this transfer ever succeeded: then a refused one may pass. */
  get hasConnected(): boolean {
    return this.#state.connected;
  }

  async remote(signal: AbortSignal): Promise<Remote> {
    this.#remote ??= await this.#destination.open(signal, { create: this.#create });
    this.#state.connected = true;
    return this.#remote;
  }

  async close(): Promise<void> {
    const remote = this.#remote;
    this.#remote = undefined;
    await remote?.close();
  }
}

async function persistently<File extends WantedFile>(
  file: File,
  line: Line,
  act: (remote: Remote, file: File, attempt: Attempt) => Promise<void>,
  { task, silence, attempts, stop }: Persistence & { readonly task: Task; readonly stop: AbortSignal },
  { machine, progress }: Host,
): Promise<void> {
  const told = new FileProgress(file, task.id, progress);
  for (let failures = 0; ;) {
    const before = told.furthest;
    const watch = new Watch(silence, stop, machine);
    try {
      await watch.during(async () =>
        act(await line.remote(watch.signal), file, {
          signal: watch.signal,
          resumed: (from) => {
            watch.sign();
            told.resumed(from);
          },
          moved: (bytes) => {
            watch.sign();
            told.moved(bytes);
          },
          checked: (bytes) => {
            watch.sign();
            told.checked(bytes);
          },
        }),
      );
      told.finish();
      return;
    } catch (error) {
      told.stopChecking();
      stop.throwIfAborted();
      await line.close().catch(() => undefined);
      if (!mayPass(error, line.hasConnected)) throw error;
      failures = told.furthest > before ? 1 : failures + 1;
      if (failures >= attempts) throw givenUp(error, file, attempts);
      const wait = waitBefore(failures);
      progress.remark(
        { id: task.id, label: file.name },
        `${error.message}; trying again in ${wait / 1000} s`,
      );
      await machine.wait(wait, stop);
    }
  }
}

const mayPass = (error: unknown, connected: boolean): error is MigrationError =>
  error instanceof MigrationError &&
  (error.code === "transfer-failed" || (error.code === "connection-failed" && connected));

const givenUp = (error: MigrationError, { name }: WantedFile, attempts: number) =>
  new MigrationError(
    "transfer-failed",
    `${name} could not be transferred: ${error.message}${attempts > 1 ? `; ${attempts} attempts brought nothing new` : ""}`,
    {
      hint: error.hint ?? "try again later with the same command: it continues where it stopped",
      cause: error,
      reason: error.reason,
    },
  );

/** Ends an attempt that shows no sign of life for too long. */
class Watch {
  readonly signal: AbortSignal;
  readonly #silent = new AbortController();
  readonly #seconds: number;
  readonly #machine: System["machine"];
  #last: number;

  constructor(seconds: number, stop: AbortSignal, machine: System["machine"]) {
    this.#seconds = seconds;
    this.#machine = machine;
    this.#last = machine.elapsed();
    this.signal = AbortSignal.any([stop, this.#silent.signal]);
  }

  sign(): void {
    this.#last = this.#machine.elapsed();
  }

  /** Does not wait for a call that ignores its signal, such as one on a network file system that hangs. */
  async during(act: () => Promise<void>): Promise<void> {
    const ended = new AbortController();
    const aborted = new Promise<never>((_, reject) => {
      this.signal.addEventListener("abort", () => {
        // The call gets the first word: its own error is the cause.
        void this.#machine.wait(GRACE_MS, ended.signal).then(
          () => {
            reject(this.signal.reason as Error);
          },
          () => undefined,
        );
      });
    });
    aborted.catch(() => undefined);
    void this.#look(ended.signal);
    try {
      this.signal.throwIfAborted();
      await Promise.race([act(), aborted]);
    } finally {
      ended.abort();
    }
  }

  async #look(ended: AbortSignal): Promise<void> {
    const limit = this.#seconds * 1000;
    try {
      for (;;) {
        const left = this.#last + limit - this.#machine.elapsed();
        if (left <= 0) break;
        await this.#machine.wait(left, ended);
      }
    } catch {
      return;
    }
    this.#silent.abort(
      new MigrationError("transfer-failed", `nothing was transferred for ${this.#seconds} seconds`, {
        hint: "check the network between the hosts, then run the same command again",
      }),
    );
  }
}

/** Milliseconds that a call has to end after its signal. */
const GRACE_MS = 5_000;

/** The progress of one file, counted once however often it is begun. */
class FileProgress {
  /** How many bytes have been transferred at most. */
  furthest = 0;
  readonly #file: WantedFile;
  readonly #task: string;
  readonly #progress: Progress;
  #at = 0;
  #checking = false;

  constructor(file: WantedFile, task: string, progress: Progress) {
    this.#file = file;
    this.#task = task;
    this.#progress = progress;
  }

  resumed(from: number): void {
    this.stopChecking();
    this.#at = from;
    this.#reach();
  }

  moved(bytes: number): void {
    this.stopChecking();
    this.#at += bytes;
    this.#reach();
  }

  checked(bytes: number): void {
    const { name, size } = this.#file;
    if (!this.#checking)
      this.#progress.begin({ id: this.#id, label: `check ${name}`, unit: "bytes", total: size });
    this.#checking = true;
    this.#progress.advance(this.#id, bytes);
  }

  stopChecking(): void {
    if (this.#checking) this.#progress.end(this.#id);
    this.#checking = false;
  }

  finish(): void {
    this.stopChecking();
    this.#at = this.#file.size;
    this.#reach();
  }

  get #id(): string {
    return `check/${this.#file.name}`;
  }

  #reach(): void {
    if (this.#at <= this.furthest) return;
    this.#progress.advance(this.#task, this.#at - this.furthest);
    this.furthest = this.#at;
  }
}
