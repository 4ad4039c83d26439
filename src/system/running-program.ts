import type { ChildProcess } from "node:child_process";
import type { Writable } from "node:stream";
import { Interrupted, MigrationError, type ProgramReason } from "../errors.ts";
import { adopt } from "./memory.ts";
import { packageFor } from "./packages.ts";
import type { Call, Ending } from "./call.ts";
import type { Bytes } from "./system.ts";

/** Characters that are kept of what it says on standard error, from its beginning and from its end. */
const MOST_WORDS = 4000;

/** A running program, and what has become of it. */
export class RunningProgram {
  /** Resolves once it runs; rejects with `program-missing` when it cannot be started. */
  readonly running: Promise<void>;
  /** Resolves once it is gone and its output is read; never rejects. */
  readonly ended: Promise<Ending>;
  /** Resolves as soon as it is gone, or could not be started; never rejects. */
  readonly gone: Promise<void>;
  #call: Call;
  #child: ChildProcess;
  #complaint = "";
  #firstWords = "";
  #notStarted: MigrationError | undefined;
  #sourceError: { error: unknown } | undefined;
  #leftEarly = false;
  #tooSlow = false;

  constructor(call: Call, child: ChildProcess) {
    this.#call = call;
    this.#child = child;
    child.stdin?.on("error", () => (this.#leftEarly = true));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-MOST_WORDS);
      if (this.#firstWords.length < MOST_WORDS)
        this.#firstWords = (this.#firstWords + text).slice(0, MOST_WORDS);
    });
    const secret = child.stdio[3] as Writable | undefined;
    secret?.on("error", () => undefined);
    secret?.end(call.secret);
    this.running = new Promise((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (error) => {
        this.#notStarted = cannotStart(call, error);
        reject(this.#notStarted);
      });
    });
    this.running.catch(() => undefined);
    this.ended = new Promise((resolve) => {
      const done = (code: number | null, signal: NodeJS.Signals | null) => {
        resolve({ code, signal, complaint: this.#complaint.trim(), firstWords: this.#firstWords });
      };
      child.once("close", done);
      child.once("error", () => {
        done(null, null);
      });
    });
    this.gone = new Promise((resolve) => {
      child.once("exit", () => {
        resolve();
      });
      child.once("error", () => {
        resolve();
      });
    });
    if (call.limit !== undefined) this.#endAfter(call.limit);
  }

  #endAfter(milliseconds: number): void {
    const timer = setTimeout(() => {
      this.#tooSlow = true;
      this.kill();
    }, milliseconds);
    void this.ended.then(() => {
      clearTimeout(timer);
    });
  }

  async *output(): Bytes {
    await this.running;
    for await (const chunk of this.#child.stdout!) yield own(chunk as Uint8Array);
  }

  /** Resolves when the chunk is no longer needed: it may be overwritten then. Never rejects. */
  async write(chunk: Uint8Array): Promise<void> {
    const stdin = this.#child.stdin!;
    if (this.#leftEarly || stdin.destroyed) return;
    await new Promise<void>((resolve) => {
      const go = () => {
        stdin.off("close", go);
        resolve();
      };
      // Called as soon as nobody needs the chunk any more, also when it could not be written.
      stdin.on("close", go).write(chunk, go);
    });
  }

  endInput(): void {
    this.#child.stdin!.end();
  }

  /** Pumps a source into the program. Never rejects: what went wrong is told by `failure` and `blame`. */
  async feed(source: Bytes): Promise<void> {
    try {
      for await (const chunk of source) {
        if (this.#leftEarly || this.#child.stdin!.destroyed) {
          this.#leftEarly = true;
          return;
        }
        await this.write(chunk);
      }
      // It went before it was told that there is no more: what lay in the pipe was read by nobody.
      if (this.#child.stdin!.destroyed) this.#leftEarly = true;
      this.endInput();
    } catch (error) {
      this.#sourceError = { error };
      this.kill();
    }
  }

  /** Says that it went before all that was written for it was read. */
  leftEarly(): void {
    this.#leftEarly = true;
  }

  /** Whether its end, once it is gone, was not a good one. Its last words may still be on their way. */
  get hasFailed(): boolean {
    const { exitCode: code, signalCode: signal } = this.#child;
    return this.failure({ code, signal, complaint: "", firstWords: "" }) !== undefined;
  }

  /** Ends it, and what it has still to say: a program that it started itself, as a wrapper does, may hold its pipes open. */
  kill(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  /** Why this ending is not a good one, or undefined when it is. */
  failure(ending: Ending): Error | undefined {
    if (this.#sourceError) return this.#sourceError.error as Error;
    if (this.#notStarted) return this.#notStarted;
    const reason = this.#whatWentWrong(ending);
    if (reason === undefined) return undefined;
    const failure = failed(reason, ending.complaint);
    return this.#call.explain?.(failure, ending) ?? failure;
  }

  #whatWentWrong(ending: Pick<Ending, "code" | "signal">): ProgramReason | undefined {
    const { name: program, limit: milliseconds = 0 } = this.#call;
    if (this.#tooSlow) return { kind: "time-limit", program, milliseconds };
    if (ending.signal || ending.code !== 0) return endOf(program, ending);
    return this.#leftEarly ? { kind: "left-early", program } : undefined;
  }

  /** Which error to show when reading its output failed: the one that came first in time, not the last in line. */
  async blame(error: unknown, signal: AbortSignal): Promise<unknown> {
    if (signal.aborted && signal.reason instanceof Interrupted) return signal.reason;
    if (error instanceof MigrationError) return error;
    return this.#sourceError?.error ?? this.failure(await this.ended) ?? error;
  }
}

/** What is read from a pipe or socket comes in memory of its own (Node, src/stream_base.cc). */
const own = (chunk: Uint8Array) => (chunk.length === chunk.buffer.byteLength ? adopt(chunk) : chunk);

export function cannotStart({ name }: Call, error: NodeJS.ErrnoException): MigrationError {
  if (error.code === "ENOENT") {
    return new MigrationError("program-missing", `${name} is not installed`, {
      hint: packageFor(name),
      cause: error,
    });
  }
  return new MigrationError(
    "program-failed",
    `${name} could not be started: ${error.code ?? "unknown error"}`,
    { cause: error },
  );
}

/** Of a program that did not end well. */
export const endOf = (program: string, { code, signal }: Pick<Ending, "code" | "signal">): ProgramReason =>
  signal ? { kind: "signal", program, signal } : { kind: "exit-status", program, status: code ?? -1 };

/** For people, after the program's name. */
export function describeEnd(reason: ProgramReason): string {
  if (reason.kind === "time-limit") return `did not end within ${reason.milliseconds / 1000} seconds`;
  if (reason.kind === "signal") return `was killed by ${reason.signal}`;
  if (reason.kind === "left-early") return "stopped reading before everything was written to it";
  return `failed with exit code ${reason.status === -1 ? "unknown" : reason.status}`;
}

export function failed(reason: ProgramReason, complaint: string): MigrationError {
  const said = complaint.split("\n").filter(Boolean).slice(-6).join("; ");
  const sentence = `${reason.program} ${describeEnd(reason)}`;
  return new MigrationError("program-failed", said ? `${sentence}: ${said}` : sentence, {
    hint: "nothing unfinished was kept; run the same command again once the cause is gone",
    reason,
  });
}
