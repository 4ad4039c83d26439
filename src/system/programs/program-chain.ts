import { type ChildProcess, spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { basename } from "node:path";
import type { Bytes } from "../bytes.ts";
import { digestGzip, type GzipDigest, type GzipOptions, type GzipResult } from "../formats/gzip-digest.ts";
import { beginSpan } from "../trace/trace.ts";
import type { ProgramCall } from "./call.ts";
import { openPipe, type Pipe } from "./pipe.ts";
import { RunningProgram } from "./running-program.ts";
import { asWriteError } from "./write-error.ts";

/** One program, or several connected by kernel pipes, first to last. */
export interface ChainOptions {
  readonly calls: readonly ProgramCall[];
  /** The input of the first program; none when undefined. */
  readonly source: Bytes | undefined;
  readonly environmentOf: (call: ProgramCall) => Record<string, string | undefined>;
  /** Folder for temporary files; the default of the system when undefined. */
  readonly temporary: string | undefined;
  readonly signal: AbortSignal;
}

/** pipe(7), PIPE_BUF: an empty pipe always accepts this many bytes without blocking. */
const MAX_PREFIX = 4096;

/** See `Programs.pipe`: its promises apply to the whole chain. */
export async function* chainOutput(options: ChainOptions): Bytes {
  const { outputPrefix } = options.calls.at(-1)!;
  yield* runChain(options, "pipe", async function* (last) {
    if (outputPrefix !== undefined) {
      await last.running;
      yield Buffer.from(outputPrefix);
    }
    yield* last.output();
  });
}

/** See `Output.writeTo`. */
export async function chainInto(
  descriptor: number,
  options: ChainOptions,
  stop?: AbortSignal,
): Promise<void> {
  const { outputPrefix, ...call } = options.calls.at(-1)!;
  const signal = stop ? AbortSignal.any([options.signal, stop]) : options.signal;
  if (outputPrefix !== undefined) writeSync(descriptor, outputPrefix);
  const nothing = async function* (last: RunningProgram): Bytes {
    await last.ended;
    yield* [];
  };
  try {
    for await (const _ of runChain({ ...options, signal }, descriptor, nothing));
  } catch (error) {
    stop?.throwIfAborted();
    throw await asWriteError(error, call, descriptor);
  }
}

/** See `Output.digestGzip`. */
export async function chainGunzipped(gzip: GzipOptions, options: ChainOptions): Promise<GzipDigest> {
  options.signal.throwIfAborted();
  const pipe = await openPipe(options.temporary);
  const looking = digestGzip(pipe.reader, gzip);
  looking.catch(() => undefined);
  let found: GzipResult | undefined;
  const look = async function* (last: RunningProgram): Bytes {
    pipe.keepReaderOnly();
    await last.running;
    found = await looking;
    // Without a reader, a program that still writes ends.
    pipe.close();
    yield* [];
  };
  try {
    for await (const _ of runChain(options, pipe.writer, look));
  } catch (error) {
    if (options.signal.aborted || !isDamaged(found) || found.atEnd) throw error;
  } finally {
    pipe.keepReaderOnly();
    await looking.catch(() => undefined);
    pipe.close();
  }
  if (isDamaged(found)) throw Object.assign(new Error(found.damage.message), found.damage);
  return found!.digest;
}

const isDamaged = (found: GzipResult | undefined) => found !== undefined && "damage" in found;

async function* runChain(
  options: ChainOptions,
  output: "pipe" | number,
  outputOf: (last: RunningProgram) => Bytes,
): Bytes {
  const { calls, signal } = options;
  const source = withFirst(calls[0]!.inputPrefix, options.source);
  const chain = await start({ ...options, source }, output);
  const stop = () => {
    chain.kill();
  };
  signal.addEventListener("abort", stop, { once: true });
  // Without a source there is no pipe either: a program that does not read must not count as one that stopped early.
  const feeding = source ? chain.first.feed(source) : Promise.resolve();
  try {
    yield* outputOf(chain.last);
    await feeding;
    const failure = await chain.failure();
    if (failure) throw failure;
  } catch (error) {
    signal.throwIfAborted();
    throw await (chain.firstFailed ?? chain.last).chooseError(error, signal);
  } finally {
    signal.removeEventListener("abort", stop);
    chain.kill();
    await chain.ended();
    await feeding;
  }
}

function withFirst(text: string | undefined, source: Bytes | undefined): Bytes | undefined {
  if (text === undefined) return source;
  return (async function* () {
    yield Buffer.from(text);
    if (source) yield* source;
  })();
}

class Chain {
  /** The program that failed first; failures of the others follow from it. */
  firstFailed: RunningProgram | undefined;
  readonly #programs: readonly RunningProgram[];
  readonly #pipes: readonly Pipe[];

  constructor(programs: readonly RunningProgram[], pipes: readonly Pipe[]) {
    this.#programs = programs;
    this.#pipes = pipes;
    for (const [index, program] of programs.entries()) {
      void program.gone.then(() => {
        // Only now does the previous program notice that it has no reader, so the first failure is found first.
        if (pipes[index - 1]?.wasEmptied() === false) program.leftEarly();
        if (!program.hasFailed || this.firstFailed) return;
        this.firstFailed = program;
        // What it said last may not have been read yet.
        program.finishReading();
        for (const other of this.#programs) if (other !== program) other.kill();
      });
    }
  }

  get first(): RunningProgram {
    return this.#programs[0]!;
  }

  get last(): RunningProgram {
    return this.#programs.at(-1)!;
  }

  /** Waits for all programs; returns the first failure. */
  async failure(): Promise<Error | undefined> {
    await this.ended();
    if (this.firstFailed) return this.firstFailed.failure(await this.firstFailed.ended);
    for (const program of this.#programs) {
      const failure = program.failure(await program.ended);
      if (failure) return failure;
    }
    return undefined;
  }

  kill(): void {
    for (const program of this.#programs) program.kill();
  }

  /** Never rejects. */
  async ended(): Promise<void> {
    for (const program of this.#programs) await program.ended;
    for (const pipe of this.#pipes) pipe.close();
  }
}

async function start(
  { calls, source, environmentOf, temporary, signal }: ChainOptions,
  lastOutput: "pipe" | number,
): Promise<Chain> {
  signal.throwIfAborted();
  const pipes: Pipe[] = [];
  const programs: RunningProgram[] = [];
  try {
    for (const call of calls.slice(0, -1)) {
      const pipe = await openPipe(temporary);
      pipes.push(pipe);
      if (call.outputPrefix !== undefined) writeBefore(pipe.writer, call.outputPrefix);
    }
    signal.throwIfAborted();
    for (const [index, call] of calls.entries()) {
      const input = pipes[index - 1]?.reader ?? (source ? "pipe" : "ignore");
      const output = pipes[index]?.writer ?? lastOutput;
      programs.push(new RunningProgram(call, spawnProgram(call, [input, output], environmentOf(call))));
    }
  } catch (error) {
    for (const program of programs) program.kill();
    for (const pipe of pipes) pipe.close();
    throw error;
  }
  for (const pipe of pipes) pipe.closeOwnEnds();
  return new Chain(programs, pipes);
}

function writeBefore(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  if (bytes.length > MAX_PREFIX) throw new RangeError(`a pipe does not take ${bytes.length} bytes at once`);
  writeSync(descriptor, bytes);
}

/** Starts a program with this input and output. Its standard error is read here; its secret is on descriptor 3. */
export function spawnProgram(
  call: ProgramCall,
  [input, output]: readonly ["pipe" | "ignore" | number, "pipe" | number],
  env: Record<string, string | undefined>,
): ChildProcess {
  const { account, folder, secret } = call;
  const child = spawn(call.name, call.args, {
    stdio: [input, output, "pipe", ...(secret === undefined ? [] : (["pipe"] as const))],
    env,
    ...(folder === undefined ? {} : { cwd: folder }),
    ...(account ? { uid: account.uid, gid: account.gid } : {}),
  });
  traceProgram(call, child);
  return child;
}

/** The name alone: arguments may hold names of databases and folders. */
export function traceProgram({ name }: Pick<ProgramCall, "name">, child: ChildProcess): void {
  const end = beginSpan("program", basename(name));
  child.once("exit", (code, signal) => {
    end({ pid: child.pid ?? null, code, signal });
  });
  child.once("error", () => {
    end({ started: false });
  });
}
