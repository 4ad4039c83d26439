import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

/** An account of this host, as numbers. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Whom it runs as; left out, it runs as this process does. */
  readonly account?: Account | undefined;
  /** What ends it at once when this process ends; SIGKILL when left out. */
  readonly lastSignal?: "SIGKILL" | "SIGQUIT";
}

const running = new Set<ServerProcess>();
const OUTPUT_KEPT = 8_000;

/** A server in the foreground, as a child of this process: it never outlives a test, however the test ends. */
export class ServerProcess {
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #lastSignal: NodeJS.Signals;
  #output = "";
  #hasExited = false;

  constructor({ program, args, folder, environment = {}, account, lastSignal = "SIGKILL" }: ServerCommand) {
    watchForTheEnd();
    this.#lastSignal = lastSignal;
    // The kernel ends the server when this process is killed and can no longer do it itself.
    const identity = account
      ? ["--reuid", `${account.uid}`, "--regid", `${account.gid}`, "--clear-groups"]
      : [];
    const command = [...identity, "--pdeathsig", lastSignal.slice(3), "--", program, ...args];
    this.#child = spawn("setpriv", command, {
      cwd: folder,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_KEPT);
      });
    }
    this.exited = new Promise((resolve) => {
      const done = () => {
        this.#hasExited = true;
        running.delete(this);
        resolve();
      };
      this.#child.once("exit", done);
      this.#child.once("error", (error) => {
        this.#output += error.message;
        done();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** The last of what it printed. */
  get output(): string {
    return this.#output;
  }

  /** Waits until `isReady` says so; throws with the server's last words when it ends before, or takes too long. */
  async untilReady(isReady: () => Promise<boolean>, seconds: number): Promise<void> {
    const limit = performance.now() + seconds * 1000;
    while (!(await isReady())) {
      if (this.#hasExited) throw new Error(`the server ended while it started:\n${this.#output}`);
      if (performance.now() > limit)
        throw new Error(`the server was not ready in ${seconds} s:\n${this.#output}`);
      await wait(50);
    }
  }

  /** Asks it to end, and ends it if it has not done so in time. May be called twice. */
  async stop(signal: NodeJS.Signals, seconds: number): Promise<void> {
    if (this.#hasExited) return;
    this.#child.kill(signal);
    const timer = setTimeout(() => {
      this.kill();
    }, seconds * 1000);
    await this.exited;
    clearTimeout(timer);
  }

  /** As a power cut would: no chance to tidy up. */
  kill(): void {
    if (!this.#hasExited) this.#child.kill("SIGKILL");
  }

  /** What remains to be done when this process ends and can wait for nothing. */
  endAtOnce(): void {
    if (!this.#hasExited) this.#child.kill(this.#lastSignal);
  }
}

/** Tests that run side by side agree here on who has which port: a file of that name, with the owner's process id. */
const TAKEN = join(tmpdir(), "synlift-test-ports");
/** Below what Linux gives to outgoing connections (ip_local_port_range). */
const [FIRST, COUNT] = [20_000, 12_000];

/** A port of the loopback address that nothing listens on, and that no other test is given while this process lives. */
export async function freePort(): Promise<number> {
  mkdirSync(TAKEN, { recursive: true });
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (takes(join(TAKEN, `${port}`)) && (await isFree(port))) return port;
  }
}

function takes(file: string): boolean {
  try {
    writeFileSync(file, `${process.pid}`, { flag: "wx" });
    return true;
  } catch {
    // Whoever had it may have ended; the next one to ask gets it then.
    const owner = existsSync(file) ? readFileSync(file, "utf8") : "";
    if (owner !== "" && !existsSync(`/proc/${owner}`)) rmSync(file, { force: true });
    return false;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => {
      resolve(false);
    });
    server.listen(port, "127.0.0.1", () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}

let isWatching = false;

/** By default a signal ends Node without "exit" listeners, and those also remove the temporary folders. */
function watchForTheEnd(): void {
  if (isWatching) return;
  isWatching = true;
  process.on("exit", () => {
    for (const server of running) server.endAtOnce();
  });
  for (const [signal, code] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
    ["SIGHUP", 129],
  ] as const) {
    process.once(signal, () => process.exit(code));
  }
}
