import { spawn, type ChildProcess } from "node:child_process";
import { constants as modes } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { Readable, type Writable } from "node:stream";
import { Interrupted, MigrationError } from "../errors.ts";
import { packageFor } from "./packages.ts";
import type { Bytes } from "./system.ts";

/** Runs other programs. No secret ever goes into `args`: anybody on the host can read them. */
export interface Programs {
  /**
   * Feeds `source` to a program and yields what it prints. The stream ends well only if the program did: it was
   * there, read everything, was not killed and said 0. If `source` breaks, the program is killed and the source's
   * error is thrown; if the reader stops early, the program is killed.
   * Throws `program-missing` or `program-failed`.
   */
  through(call: Call, source?: Bytes): Bytes;
  /** Runs a program whose output is small. Throws as `through` does. */
  run(call: Call, input?: string): Promise<string>;
  /**
   * Runs a program that may leave others running behind it, such as one that starts a server, and waits for itself
   * only. Its output is not read. Throws as `run` does.
   */
  launch(call: Call): Promise<void>;
  /** Starts a program to talk with. Throws `program-missing`. */
  open(call: Call): Promise<Conversation>;
  /** The path of a program, or undefined when it is not installed. */
  find(name: string): Promise<string | undefined>;
}

export interface Call {
  /** A name to be found in PATH, or a path. */
  readonly name: string;
  readonly args: readonly string[];
  /** Added to the few variables that every program gets (PATH, HOME, LANG, TMPDIR, …). */
  readonly env?: Readonly<Record<string, string>>;
  /** Text handed over on file descriptor 3: the road for secrets. */
  readonly secret?: string;
  readonly folder?: string;
  /** Run as another account of this host; only root may. */
  readonly account?: {
    readonly uid: number;
    readonly gid: number;
    readonly name: string;
    readonly home: string;
  };
}

/** A program that is asked and answers, until it is closed or dies. */
export interface Conversation {
  readonly output: Bytes;
  write(text: string): Promise<void>;
  /** Says that there is no more to come, and resolves when the program has ended; never rejects. */
  close(): Promise<Ending>;
  kill(): void;
}

/** How a program ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it said on standard error: at most some 4,000 characters. */
  readonly complaint: string;
}

export type Gpg = (args: readonly string[], passphrase: string, source: Bytes) => Bytes;

/** Variables that programs need to work at all; nothing else of ours is passed on, as it may hold secrets. */
const PASSED_ON = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "TZ", "XDG_RUNTIME_DIR"];

export function realPrograms(
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Programs {
  const base = Object.fromEntries(
    PASSED_ON.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );

  // Messages are read by us and shown to people: one language.
  const environmentOf = ({ account, env }: Call) => ({
    ...base,
    ...(account ? { HOME: account.home, USER: account.name, LOGNAME: account.name } : {}),
    LC_MESSAGES: "C",
    ...env,
  });

  function start(call: Call, input: "pipe" | "ignore"): Started {
    signal.throwIfAborted();
    const account = call.account;
    const child = spawn(call.name, call.args, {
      stdio: [input, "pipe", "pipe", ...(call.secret === undefined ? [] : (["pipe"] as const))],
      env: environmentOf(call),
      ...(call.folder === undefined ? {} : { cwd: call.folder }),
      ...(account ? { uid: account.uid, gid: account.gid } : {}),
    });
    return new Started(call, child);
  }

  async function* streamed(call: Call, source: Bytes | undefined): Bytes {
    const program = start(call, source ? "pipe" : "ignore");
    const stop = () => {
      program.kill();
    };
    signal.addEventListener("abort", stop, { once: true });
    // Without a source there is no pipe either: a program that never reads must not look like one that left early.
    const feeding = source ? program.feed(source) : Promise.resolve();
    try {
      yield* program.output();
      await feeding;
      const failure = program.failure(await program.ended);
      if (failure) throw failure;
    } catch (error) {
      throw await program.blame(error, signal);
    } finally {
      signal.removeEventListener("abort", stop);
      program.kill();
      await program.ended;
      await feeding;
    }
  }

  return {
    through: streamed,

    async run(call, input) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of streamed(
        call,
        input === undefined ? undefined : Readable.from([Buffer.from(input)]),
      ))
        chunks.push(chunk);
      return Buffer.concat(chunks).toString("utf8");
    },

    launch: (call) => launched(call, environmentOf(call), signal),

    async open(call) {
      const program = start(call, "pipe");
      await program.running;
      const stop = () => {
        program.kill();
      };
      signal.addEventListener("abort", stop, { once: true });
      return {
        output: program.output(),
        write: (text) => program.write(Buffer.from(text)),
        async close() {
          program.endInput();
          const ending = await program.ended;
          signal.removeEventListener("abort", stop);
          return ending;
        },
        kill: stop,
      };
    },

    async find(name) {
      for (const folder of (base["PATH"] ?? "").split(":").filter(Boolean)) {
        const path = join(folder, name);
        if (
          await access(path, modes.X_OK).then(
            () => true,
            () => false,
          )
        )
          return path;
      }
      return undefined;
    },
  };
}

function launched(call: Call, env: Record<string, string | undefined>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    // In a group of its own: what it starts must outlive us, and a Ctrl-C at our terminal.
    const child = spawn(call.name, call.args, {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
      env,
      ...(call.folder === undefined ? {} : { cwd: call.folder }),
      ...(call.account ? { uid: call.account.uid, gid: call.account.gid } : {}),
    });
    let complaint = "";
    child.stderr
      .setEncoding("utf8")
      .on("data", (text: string) => (complaint = (complaint + text).slice(-4000)));
    child.once("error", (error) => {
      reject(cannotStart(call, error));
    });
    child.once("exit", (code, killedBy) => {
      child.stderr.destroy();
      child.unref();
      if (code === 0) resolve();
      else
        reject(
          failed(
            call.name,
            killedBy ? `was killed by ${killedBy}` : `failed with exit code ${code ?? "unknown"}`,
            complaint.trim(),
          ),
        );
    });
  });
}

/** A running program, and what has become of it. */
class Started {
  /** Resolves once it runs; rejects with `program-missing` when it cannot be started. */
  readonly running: Promise<void>;
  /** Resolves once it is gone and its output is read; never rejects. */
  readonly ended: Promise<Ending>;
  #call: Call;
  #child: ChildProcess;
  #complaint = "";
  #notStarted: MigrationError | undefined;
  #sourceError: { error: unknown } | undefined;
  #leftEarly = false;

  constructor(call: Call, child: ChildProcess) {
    this.#call = call;
    this.#child = child;
    child.stdin?.on("error", () => (this.#leftEarly = true));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-4000);
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
        resolve({ code, signal, complaint: this.#complaint.trim() });
      };
      child.once("close", done);
      child.once("error", () => {
        done(null, null);
      });
    });
  }

  async *output(): Bytes {
    await this.running;
    for await (const chunk of this.#child.stdout!) yield chunk as Uint8Array;
  }

  async write(chunk: Uint8Array): Promise<void> {
    const stdin = this.#child.stdin!;
    if (this.#leftEarly || stdin.destroyed) return;
    if (stdin.write(chunk)) return;
    await new Promise<void>((resolve) => {
      const go = () => {
        stdin.off("drain", go).off("close", go).off("error", go);
        resolve();
      };
      stdin.on("drain", go).on("close", go).on("error", go);
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
      this.endInput();
    } catch (error) {
      this.#sourceError = { error };
      this.kill();
    }
  }

  kill(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
  }

  /** Why this ending is not a good one, or undefined when it is. */
  failure({ code, signal, complaint }: Ending): Error | undefined {
    if (this.#sourceError) return this.#sourceError.error as Error;
    if (this.#notStarted) return this.#notStarted;
    const name = this.#call.name;
    if (signal) return failed(name, `was killed by ${signal}`, complaint);
    if (code !== 0) return failed(name, `failed with exit code ${code ?? "unknown"}`, complaint);
    if (this.#leftEarly)
      return failed(name, "stopped reading before everything was written to it", complaint);
    return undefined;
  }

  /** Which error to show when reading its output failed: the one that came first in time, not the last in line. */
  async blame(error: unknown, signal: AbortSignal): Promise<unknown> {
    if (signal.aborted && signal.reason instanceof Interrupted) return signal.reason;
    if (error instanceof MigrationError) return error;
    return this.#sourceError?.error ?? this.failure(await this.ended) ?? error;
  }
}

function cannotStart({ name }: Call, error: NodeJS.ErrnoException): MigrationError {
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

function failed(name: string, how: string, complaint: string): MigrationError {
  const said = complaint.split("\n").filter(Boolean).slice(-6).join("; ");
  return new MigrationError("program-failed", `${name} ${how}${said ? `: ${said}` : ""}`, {
    hint: "nothing unfinished was kept; run the same command again once the cause is gone",
  });
}
