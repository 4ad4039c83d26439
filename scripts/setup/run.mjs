import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A need that cannot be met, said in one sentence. `serious` tells whether the demo cannot do without it either. */
export class Refusal extends Error {
  constructor(sentence, { serious = true } = {}) {
    super(sentence);
    this.serious = serious;
  }
}

/** As `run`, for a program that must not go on alone, writing where the next set-up writes, when this one is killed. */
export function runWithUs(program, args, environment) {
  if (!programPath("setpriv")) return run(program, args, environment);
  return run("setpriv", ["--pdeathsig", "KILL", "--", program, ...args], environment);
}

/** Runs a program quietly; its words are kept for the sentence that says why it failed. */
export function run(program, args, environment = {}) {
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment };
    const child = spawn(program, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const keep = (chunk) => {
      output = (output + chunk).slice(-100_000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    // A set-up that is told to stop takes along what it runs.
    const stop = () => {
      child.kill("SIGTERM");
      process.exit(143);
    };
    process.once("SIGTERM", stop);
    const done = (code) => {
      process.removeListener("SIGTERM", stop);
      resolve({ code: code ?? 1, output });
    };
    child.on("error", (error) => {
      output += error.message;
      done(1);
    });
    child.on("close", done);
  });
}

const NO_NETWORK =
  /ENOTFOUND|EAI_AGAIN|ENETUNREACH|ETIMEDOUT|ECONNREFUSED|resolution|resolving|unreachable|refused|timed out/;

/** Why a program failed: that there is no network, or the last line that starts in a telling way, or just the last one. */
export function reasonIn(output, telling) {
  if (NO_NETWORK.test(output)) return "no connection to where it comes from";
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const line =
    lines.findLast((line) => telling.test(line) && !line.endsWith(":")) ?? lines.at(-1) ?? "no reason given";
  return line.replace(telling, "").trim().slice(0, 300);
}

/** Also looked for where root's programs live, which other accounts often have not in their PATH. */
export function programPath(name) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
