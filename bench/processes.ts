import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** What a command took, with all that it started and waited for. */
export interface Took {
  readonly seconds: number;
  /** Seconds of processor time, of users and system: hardly changed by what else goes on. */
  readonly processor: number;
}

export interface Watched extends Took {
  /** MiB that the command itself had in memory at most: proc(5), VmHWM. */
  readonly peak: number;
  /** The same of it and of all that it started, together: what several of them share is counted several times. */
  readonly peakOfAll: number;
}

export interface CommandOptions {
  readonly folder?: string;
  readonly env: NodeJS.ProcessEnv;
  /** Lines of standard error. */
  readonly tell?: (line: string) => void;
}

const TIMES = /^processor (\S+) (\S+)$/;

/** Runs a command of bash to its end, and looks at it several times a second meanwhile. Throws when it fails. */
export async function timed(command: string, { folder, env, tell }: CommandOptions): Promise<Watched> {
  const script = `set -euo pipefail; umask 077; TIMEFORMAT='processor %U %S'; time { ${command}; }`;
  const began = performance.now();
  const child = spawn("/bin/bash", ["-c", script], { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] });
  let processor = NaN;
  let rest = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const times = TIMES.exec(line);
      if (times) processor = Number(times[1]) + Number(times[2]);
      else (tell ?? console.error)(line);
    }
  });
  const peaks = { peak: 0, peakOfAll: 0 };
  const look = setInterval(() => {
    const all = descendants(child.pid!);
    peaks.peak = Math.max(peaks.peak, ...all.slice(0, 1).map((pid) => kibibytes(pid, "VmHWM") / 1024));
    const sum = all.reduce((total, pid) => total + kibibytes(pid, "VmRSS"), 0) / 1024;
    peaks.peakOfAll = Math.max(peaks.peakOfAll, sum);
  }, 100);
  try {
    await new Promise<void>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => {
        if (code === 0) resolve();
        else reject(new Error(`exit code ${code ?? "none"}: ${command.slice(0, 200)}`));
      });
    });
  } finally {
    clearInterval(look);
  }
  return { seconds: (performance.now() - began) / 1000, processor, ...peaks };
}

/** All below the shell, the one that it started itself first. */
function descendants(shell: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc").filter((one) => /^\d+$/.test(one))) {
    const parent = Number(/^PPid:\s+(\d+)/m.exec(statusOf(Number(name)))?.[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const below = (pid: number): number[] =>
    (children.get(pid) ?? []).flatMap((child) => [child, ...below(child)]);
  return below(shell);
}

const kibibytes = (pid: number, field: string) =>
  Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(statusOf(pid))?.[1] ?? 0);

/** Nothing when it has just ended. */
function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

/** When each step of a synlift with `--json` began and ended, by "begin ID" and "end ID"; `tell` is given its lines. */
export function stepTimes(): { times: ReadonlyMap<string, number>; tell: (line: string) => void } {
  const times = new Map<string, number>();
  const tell = (line: string) => {
    if (!line.startsWith("{")) return;
    const { type, id } = JSON.parse(line) as { type: string; id?: string };
    if (type === "begin" || type === "end") times.set(`${type} ${id ?? ""}`, performance.now());
    if (type === "error") console.log(line);
  };
  return { times, tell };
}
