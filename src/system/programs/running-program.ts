import type { ChildProcess } from "node:child_process";
import type { Writable } from "node:stream";
import { Interrupted, MigrationError, type ProgramReason } from "../../errors.ts";
import { adoptBuffer } from "../buffers.ts";
import type { Bytes } from "../bytes.ts";
import type { ExitStatus, ProgramCall } from "./call.ts";
import { installHint } from "./packages.ts";

/** Characters of standard error that are kept from its beginning, and as many from its end. */
const MAX_STDERR = 4000;

/** Milliseconds. */
const FINISH_TIMEOUT = 1000;

/** A running program and its result. */
export class RunningProgram {
  /** Resolves once it runs; rejects with `program-missing` or `program-failed` when it cannot be started. */
  readonly running: Promise<void>;
  /** Resolves when it has exited and its output was read; never rejects. */
  readonly ended: Promise<ExitStatus>;
  /** Resolves when it has exited or could not be started; never rejects. */
  readonly gone: Promise<void>;
  #call: ProgramCall;
  #child: ChildProcess;
  #complaint = "";
  #stderrStart = "";
  #notStarted: MigrationError | undefined;
  #sourceError: { error: unknown } | undefined;
  #leftEarly = false;
  #tooSlow = false;

  constructor(call: ProgramCall, child: ChildProcess) {
    this.#call = call;
    this.#child = child;
    child.stdin?.on("error", () => (this.#leftEarly = true));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-MAX_STDERR);
      if (this.#stderrStart.length < MAX_STDERR)
        this.#stderrStart = (this.#stderrStart + text).slice(0, MAX_STDERR);
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
        resolve({ code, signal, stderr: this.#complaint.trim(), stderrStart: this.#stderrStart });
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
    if (call.timeout !== undefined) this.#endAfter(call.timeout);
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

  /** Resolves when the chunks can be overwritten. Never rejects. */
  async write(...chunks: readonly Uint8Array[]): Promise<void> {
    const stdin = this.#child.stdin!;
    const last = chunks.at(-1);
    if (last === undefined || this.#leftEarly || stdin.destroyed) return;
    await new Promise<void>((resolve) => {
      const go = () => {
        stdin.off("close", go);
        resolve();
      };
      stdin.on("close", go);
      // Corked, so that they leave with one system call.
      stdin.cork();
      for (const chunk of chunks.slice(0, -1)) stdin.write(chunk);
      // Called when the chunks are no longer needed, also after a write error.
      stdin.write(last, go);
      stdin.uncork();
    });
  }

  endInput(): void {
    this.#child.stdin!.end();
  }

  /** Writes a source to the program's input. Never rejects: errors are available from `failure` and `chooseError`. */
  async feed(source: Bytes): Promise<void> {
    try {
      for await (const chunk of source) {
        if (this.#leftEarly || this.#child.stdin!.destroyed) {
          this.#leftEarly = true;
          return;
        }
        await this.write(chunk);
      }
      // It exited before its input was closed, so the data in the pipe was not read.
      if (this.#child.stdin!.destroyed) this.#leftEarly = true;
      this.endInput();
    } catch (error) {
      this.#sourceError = { error };
      this.kill();
    }
  }

  /** Records that it exited before it had read all of its input. */
  leftEarly(): void {
    this.#leftEarly = true;
  }

  /** Whether it failed, once it has exited. Its standard error may not be complete yet. */
  get hasFailed(): boolean {
    const { exitCode: code, signalCode: signal } = this.#child;
    return this.failure({ code, signal, stderr: "", stderrStart: "" }) !== undefined;
  }

  /** Kills it and closes its pipes, which a child process, for example of a wrapper script, might keep open. */
  kill(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  /**
   * For a program that has exited: reads no more of its output, and what is left of its standard error. Either may be kept
   * open by a child process of it, so after a second that ends, too.
   */
  finishReading(): void {
    this.#child.stdout?.destroy();
    const timer = setTimeout(() => {
      this.kill();
    }, FINISH_TIMEOUT);
    void this.ended.then(() => {
      clearTimeout(timer);
    });
  }

  /** The error for this exit status; undefined on success. */
  failure(ended: ExitStatus): Error | undefined {
    if (this.#sourceError) return this.#sourceError.error as Error;
    if (this.#notStarted) return this.#notStarted;
    const reason = this.#failureReason(ended);
    if (reason === undefined) return undefined;
    const failure = programFailed(reason, ended.stderr);
    return this.#call.mapError?.(failure, ended) ?? failure;
  }

  #failureReason(ended: Pick<ExitStatus, "code" | "signal">): ProgramReason | undefined {
    const { name: program, timeout: milliseconds = 0 } = this.#call;
    if (this.#tooSlow) return { kind: "timeout", program, milliseconds };
    if (ended.signal || ended.code !== 0) return exitReason(program, ended);
    return this.#leftEarly ? { kind: "unread-input", program } : undefined;
  }

  /** The error to throw when reading its output failed: the original cause, not a consequence of it. */
  async chooseError(error: unknown, signal: AbortSignal): Promise<unknown> {
    if (signal.aborted && signal.reason instanceof Interrupted) return signal.reason;
    if (error instanceof MigrationError) return error;
    return this.#sourceError?.error ?? this.failure(await this.ended) ?? error;
  }
}

/** A chunk read from a pipe or socket usually has its own buffer (Node, src/stream_base.cc). */
const own = (chunk: Uint8Array) => (chunk.length === chunk.buffer.byteLength ? adoptBuffer(chunk) : chunk);

export function cannotStart({ name }: ProgramCall, error: NodeJS.ErrnoException): MigrationError {
  if (error.code === "ENOENT") {
    return new MigrationError("program-missing", `${name} is not installed`, {
      hint: installHint(name),
      cause: error,
    });
  }
  return new MigrationError(
    "program-failed",
    `${name} could not be started: ${error.code ?? "unknown error"}`,
    { cause: error },
  );
}

/** The reason for a program that was killed or did not exit with 0. */
export const exitReason = (
  program: string,
  { code, signal }: Pick<ExitStatus, "code" | "signal">,
): ProgramReason =>
  signal ? { kind: "signal", program, signal } : { kind: "exit-status", program, status: code };

/** A sentence for people. */
export function describeFailure(reason: ProgramReason): string {
  const { program } = reason;
  if (reason.kind === "timeout") return `${program} did not end within ${reason.milliseconds / 1000} seconds`;
  if (reason.kind === "signal") return `${program} was killed by ${reason.signal}`;
  if (reason.kind === "unread-input") return `${program} stopped reading before everything was written to it`;
  return `${program} failed with exit code ${reason.status ?? "unknown"}`;
}

export function programFailed(reason: ProgramReason, complaint: string): MigrationError {
  const said = complaint.split("\n").filter(Boolean).slice(-6).join("; ");
  const message = describeFailure(reason);
  return new MigrationError("program-failed", said ? `${message}: ${said}` : message, {
    hint: "correct the cause, then run the same command again; no incomplete output was kept",
    reason,
  });
}
