import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { assertJsonContract } from "./json-contract.ts";

/**
 * The program as people run it, for a process of its own: from the checkout or, where `scripts/check.ts` has joined it into one script for
 * this run, that one, which starts in half the time.
 */
export const MAIN =
  process.env["LAB_PROGRAM"] ?? fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly folder?: string;
  /** A program and its arguments, whose output is standard input. */
  readonly pipedFrom?: readonly [string, ...string[]];
  /** Looks at standard error as it grows; true ends the process with SIGKILL, as a power cut would. */
  readonly killWhen?: (stderr: string) => boolean;
  /** Called once, with the process that runs. */
  readonly started?: (child: {
    readonly pid?: number | undefined;
    kill(signal: NodeJS.Signals): boolean;
  }) => unknown;
}

export function synlift(
  args: readonly string[],
  { env = {}, folder, pipedFrom, killWhen, started }: RunOptions = {},
): Promise<Ran> {
  const source =
    pipedFrom && spawn(pipedFrom[0], pipedFrom.slice(1), { stdio: ["ignore", "pipe", "ignore"] });
  const child = spawn(process.execPath, [MAIN, ...args], {
    // The test runner colours what it runs; a person who pipes the output does not.
    env: { ...process.env, NODE_TEST_CONTEXT: "", FORCE_COLOR: "", ...env },
    stdio: [source?.stdout ?? "ignore", "pipe", "pipe"],
    ...(folder === undefined ? {} : { cwd: folder }),
  });
  // The child's own now: else nobody would tell the program that its reader has gone.
  source?.stdout.destroy();
  started?.(child);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    if (killWhen?.(stderr) === true) child.kill("SIGKILL");
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      const ran = { code, signal, stdout, stderr };
      try {
        // Whatever a test looks at, the output is what docs/json/ promises.
        if (args.includes("--json") && code !== null) assertJsonContract(ran);
        resolve(ran);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}

/** Runs it and throws, with all it said, when it does not end well. */
export async function synliftWell(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const ran = await synlift(args, options);
  if (ran.code !== 0)
    throw new Error(
      `synlift ${args[0] ?? ""} ended with ${ran.code ?? ran.signal ?? "?"}:\n${ran.stdout}\n${ran.stderr}`,
    );
  return ran;
}

/** The object that ends the output of `--json`. */
export function resultOf({ stdout }: Ran): {
  findings: { id: string; level: string; sentence: string; hint?: string; evidence?: string[] }[];
  details: Record<string, unknown>;
} {
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as ReturnType<typeof resultOf>;
}

/** The events of `--json`, and the error that ended it. */
export function eventsOf({ stderr }: Ran): {
  type: string;
  id?: string;
  code?: string;
  message?: string;
  hint?: string;
  why?: string;
  sentence?: string;
}[] {
  return stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as ReturnType<typeof eventsOf>[number]);
}
