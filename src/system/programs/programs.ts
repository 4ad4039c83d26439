import { spawn } from "node:child_process";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Bytes } from "../bytes.ts";
import type { GzipOptions } from "../formats/gzip-digest.ts";
import type { Output, ProgramCall, Programs } from "./call.ts";
import { isExecutable } from "./executable.ts";
import { chainGunzipped, chainInto, chainOutput, spawnProgram, traceProgram } from "./program-chain.ts";
import { cannotStart, exitReason, programFailed, RunningProgram } from "./running-program.ts";

export type { ProgramCall, InteractiveProgram, ExitStatus, Gpg, Output, Programs } from "./call.ts";

/** libpq's environment variables without secrets: the connection of the server may depend on them. */
const LIBPQ = [
  ...["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE"],
  ...["PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "KRB5CCNAME"],
];

/** Variables that programs need. Others are not passed on, because they may contain secrets. */
const PASSED_VARIABLES = [
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "TMPDIR",
  "LANG",
  "LC_ALL",
  "TZ",
  "XDG_RUNTIME_DIR",
  // The user's keyring, and the terminal for prompts of its agent.
  "GNUPGHOME",
  "GPG_TTY",
  "TERM",
  ...LIBPQ,
];

/** Milliseconds to wait for the remaining standard error of a launched program that failed. */
const STDERR_TIMEOUT = 200;

export function realPrograms(
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Programs {
  const { LC_ALL: locale, ...base } = Object.fromEntries(
    PASSED_VARIABLES.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
  // Messages are parsed, so they must be in English. LC_ALL would override LC_MESSAGES; LANG keeps the rest.
  if (locale !== undefined && locale !== "") base["LANG"] = locale;

  const environmentOf = ({ account, env, passEnvironment = [] }: ProgramCall) => ({
    ...base,
    ...Object.fromEntries(passEnvironment.flatMap((name) => passed(name, environment))),
    ...(account ? { HOME: account.home, USER: account.name, LOGNAME: account.name } : {}),
    LC_MESSAGES: "C",
    ...env,
  });

  /** Runs each time it is read. `pipe` recognizes it, to connect one program to the next. */
  class ChainOutput implements Output {
    readonly #calls: readonly ProgramCall[];
    readonly #source: Bytes | undefined;

    constructor(call: ProgramCall, source: Bytes | undefined) {
      const joined = source instanceof ChainOutput;
      this.#calls = joined ? [...source.#calls, call] : [call];
      this.#source = joined ? source.#source : source;
    }

    [Symbol.asyncIterator]() {
      return chainOutput(this.#chain)[Symbol.asyncIterator]();
    }

    writeTo(descriptor: number, stop?: AbortSignal) {
      return chainInto(descriptor, this.#chain, stop);
    }

    digestGzip(gzip: GzipOptions) {
      return chainGunzipped(gzip, this.#chain);
    }

    get #chain() {
      const stops = this.#calls.flatMap(({ signal: stop }) => stop ?? []);
      return {
        calls: this.#calls,
        source: this.#source,
        environmentOf,
        signal: stops.length === 0 ? signal : AbortSignal.any([signal, ...stops]),
        temporary: environment["TMPDIR"],
      };
    }
  }

  return {
    pipe: (call, source) => new ChainOutput(call, source),

    async run(call, input) {
      const chunks: Uint8Array[] = [];
      const source = input === undefined ? undefined : Readable.from([Buffer.from(input)]);
      for await (const chunk of new ChainOutput(call, source)) chunks.push(chunk);
      return Buffer.concat(chunks).toString("utf8");
    },

    startDetached: (call, { evenIfStopped = false } = {}) =>
      startDetached(call, environmentOf(call), evenIfStopped ? undefined : signal),

    async start(call) {
      signal.throwIfAborted();
      const program = new RunningProgram(call, spawnProgram(call, ["pipe", "pipe"], environmentOf(call)));
      await program.running;
      if (call.inputPrefix !== undefined) await program.write(Buffer.from(call.inputPrefix));
      const stop = () => {
        program.kill();
      };
      signal.addEventListener("abort", stop, { once: true });
      return {
        output: unlessStopped(program.output(), signal),
        write: (...pieces) =>
          program.write(...pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : piece))),
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
        if (await isExecutable(path)) return path;
      }
      return undefined;
    },
  };
}

/** A variable, or with "RCLONE_*" all that begin so. */
function passed(name: string, environment: Readonly<Record<string, string | undefined>>) {
  if (!name.endsWith("*")) return [[name, environment[name]] as const];
  return Object.entries(environment).filter(([key]) => key.startsWith(name.slice(0, -1)));
}

/** After an abort the output just ends, so the signal's reason is thrown. */
async function* unlessStopped(output: Bytes, signal: AbortSignal): Bytes {
  try {
    yield* output;
  } finally {
    signal.throwIfAborted();
  }
}

function startDetached(
  call: ProgramCall,
  env: Record<string, string | undefined>,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    // In its own process group: what it starts must outlive this process and a Ctrl-C in its terminal.
    const child = spawn(call.name, call.args, {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
      env,
      ...(call.folder === undefined ? {} : { cwd: call.folder }),
      ...(call.account ? { uid: call.account.uid, gid: call.account.gid } : {}),
    });
    traceProgram(call, child);
    const stop = () => {
      endGroup(child.pid);
      reject(signal?.reason as Error);
    };
    signal?.addEventListener("abort", stop, { once: true });
    let complaint = "";
    child.stderr
      .setEncoding("utf8")
      .on("data", (text: string) => (complaint = (complaint + text).slice(-4000)));
    child.once("error", (error) => {
      reject(cannotStart(call, error));
    });
    child.once("exit", (code, killedBy) => {
      child.unref();
      signal?.removeEventListener("abort", stop);
      const done = () => {
        clearTimeout(timer);
        child.stderr.destroy();
        if (code === 0) resolve();
        else reject(programFailed(exitReason(call.name, { code, signal: killedBy }), complaint.trim()));
      };
      // Standard error may not be complete yet; but a background process may keep the pipe open for ever.
      const timer = setTimeout(done, code === 0 ? 0 : STDERR_TIMEOUT);
      child.stderr.once("close", done);
    });
  });
}

/** Sends SIGTERM to the process group of a detached program. */
function endGroup(leader: number | undefined): void {
  if (leader !== undefined) spawn("sh", ["-c", `kill -TERM -${leader}`], { stdio: "ignore" });
}
