import { spawn } from "node:child_process";
import { constants as modes } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Call, Output, Programs } from "./call.ts";
import type { GzipOptions } from "./gzip-digest.ts";
import { begin, chainGunzipped, chainInto, chainOutput } from "./program-chain.ts";
import { cannotStart, endOf, failed, RunningProgram } from "./running-program.ts";
import type { Bytes } from "./system.ts";

export type { Call, Conversation, Ending, Gpg, Output, Programs } from "./call.ts";

/** What libpq takes from the environment and is no secret: a server that relies on it was started with it too. */
const LIBPQ = [
  ...["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE"],
  ...["PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "KRB5CCNAME"],
];

/** Variables that programs need to work at all; nothing else of ours is passed on, as it may hold secrets. */
const PASSED_ON = [
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "TMPDIR",
  "LANG",
  "LC_ALL",
  "TZ",
  "XDG_RUNTIME_DIR",
  // Where a person's own keyring is, and where the agent of it may ask them.
  "GNUPGHOME",
  "GPG_TTY",
  "TERM",
  ...LIBPQ,
];

/** Milliseconds in which the last words of a launched program that failed must have come. */
const LAST_WORDS = 200;

export function realPrograms(
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Programs {
  const { LC_ALL: locale, ...base } = Object.fromEntries(
    PASSED_ON.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
  // Messages are read by us and shown to people: one language. LC_ALL would overrule that; LANG stands for all the rest.
  if (locale !== undefined && locale !== "") base["LANG"] = locale;

  const environmentOf = ({ account, env, passOn = [] }: Call) => ({
    ...base,
    ...Object.fromEntries(passOn.map((name) => [name, environment[name]])),
    ...(account ? { HOME: account.home, USER: account.name, LOGNAME: account.name } : {}),
    LC_MESSAGES: "C",
    ...env,
  });

  /** Runs each time that it is read. Recognised by `through`, so that one program can be joined to the next. */
  class ChainOutput implements Output {
    readonly #calls: readonly Call[];
    readonly #source: Bytes | undefined;

    constructor(call: Call, source: Bytes | undefined) {
      const joined = source instanceof ChainOutput;
      this.#calls = joined ? [...source.#calls, call] : [call];
      this.#source = joined ? source.#source : source;
    }

    [Symbol.asyncIterator]() {
      return chainOutput(this.#chain)[Symbol.asyncIterator]();
    }

    into(descriptor: number, stop?: AbortSignal) {
      return chainInto(descriptor, this.#chain, stop);
    }

    gunzipped(gzip: GzipOptions) {
      return chainGunzipped(gzip, this.#chain);
    }

    get #chain() {
      const stops = this.#calls.flatMap(({ stop }) => stop ?? []);
      return {
        ...{ calls: this.#calls, source: this.#source, environmentOf },
        ...{ signal: stops.length === 0 ? signal : AbortSignal.any([signal, ...stops]) },
        temporary: environment["TMPDIR"],
      };
    }
  }

  return {
    through: (call, source) => new ChainOutput(call, source),

    async run(call, input) {
      const chunks: Uint8Array[] = [];
      const source = input === undefined ? undefined : Readable.from([Buffer.from(input)]);
      for await (const chunk of new ChainOutput(call, source)) chunks.push(chunk);
      return Buffer.concat(chunks).toString("utf8");
    },

    launch: (call, { always = false } = {}) =>
      launched(call, environmentOf(call), always ? undefined : signal),

    async open(call) {
      signal.throwIfAborted();
      const program = new RunningProgram(call, begin(call, ["pipe", "pipe"], environmentOf(call)));
      await program.running;
      if (call.firstInput !== undefined) await program.write(Buffer.from(call.firstInput));
      const stop = () => {
        program.kill();
      };
      signal.addEventListener("abort", stop, { once: true });
      return {
        output: unlessStopped(program.output(), signal),
        write: (what) => program.write(typeof what === "string" ? Buffer.from(what) : what),
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

/** A program that was killed because the run is to stop just ends: the reason is the signal, not the program. */
async function* unlessStopped(output: Bytes, signal: AbortSignal): Bytes {
  try {
    yield* output;
  } finally {
    signal.throwIfAborted();
  }
}

function launched(
  call: Call,
  env: Record<string, string | undefined>,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    // In a group of its own: what it starts must outlive us, and a Ctrl-C at our terminal.
    const child = spawn(call.name, call.args, {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
      env,
      ...(call.folder === undefined ? {} : { cwd: call.folder }),
      ...(call.account ? { uid: call.account.uid, gid: call.account.gid } : {}),
    });
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
        else reject(failed(endOf(call.name, { code, signal: killedBy }), complaint.trim()));
      };
      // Its last words may still be on their way; what it left running may hold the pipe open for ever.
      const timer = setTimeout(done, code === 0 ? 0 : LAST_WORDS);
      child.stderr.once("close", done);
    });
  });
}

/** Ends everything in the group of a detached program, as a shell would. */
function endGroup(leader: number | undefined): void {
  if (leader !== undefined) spawn("sh", ["-c", `kill -TERM -${leader}`], { stdio: "ignore" });
}
