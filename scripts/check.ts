// What `npm test` runs after the set-up: the static checks, then the tests, whose summary is to be the last thing seen.
// All stages run even when one fails, so that one look at the output shows everything.
//   no argument: all but test/long;  quick: types, and the tests without servers;  long: test/long only
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PROGRAMS = join(ROOT, "node_modules/.bin");

interface Stage {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
}

interface Tier {
  readonly checks: readonly Stage[];
  readonly includes: (file: string) => boolean;
  /** For a test, and for a file of tests as a whole. */
  readonly minutes: number;
}

const FORMAT: Stage = { name: "format", command: ["prettier", "--check", "--log-level=warn", "."] };
const LINT: Stage = { name: "lint", command: ["eslint", "."] };
const TYPES: Stage = { name: "types", command: ["tsc", "--noEmit"] };
const UNUSED: Stage = { name: "unused exports, files and packages", command: ["knip"] };

const TIERS: Readonly<Record<string, Tier>> = {
  all: { checks: [FORMAT, LINT, TYPES, UNUSED], includes: (file) => !isIn("long", file), minutes: 5 },
  quick: { checks: [TYPES], includes: (file) => !isIn("long", file) && !isIn("e2e", file), minutes: 1 },
  long: { checks: [], includes: (file) => isIn("long", file), minutes: 30 },
};

process.exitCode = await check(process.argv[2] ?? "all");

async function check(name: string): Promise<number> {
  const tier = TIERS[name];
  if (!tier) {
    console.error(`error: no tier "${name}": there are ${Object.keys(TIERS).join(", ")}`);
    return 2;
  }
  const failed: string[] = [];
  for (const stage of tier.checks) {
    if (!(await passes(stage))) failed.push(stage.name);
  }
  const files = globSync("test/**/*.test.ts", { cwd: ROOT }).filter(tier.includes).sort();
  if (files.length === 0) {
    console.error(`error: found no test files for "${name}"`);
    return 1;
  }
  // Said before the tests, as nothing may come after their summary.
  if (failed.length > 0) console.error(`failed: ${failed.join(", ")}`);
  console.log(`tests: ${files.length} files`);
  const passed = await run([process.execPath, ...testing(tier.minutes), ...files]);
  return passed && failed.length === 0 ? 0 : 1;
}

function testing(minutes: number): string[] {
  const limits = ["--test-concurrency=2", `--test-timeout=${minutes * 60_000}`];
  return ["--import", "./test/support/warnings-fail.ts", "--test", "--test-reporter=spec", ...limits];
}

async function passes({ name, command }: Stage): Promise<boolean> {
  const started = performance.now();
  const passed = await run(command);
  console.log(`${name}: ${passed ? "ok" : "FAILED"}, ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return passed;
}

function run([program, ...args]: readonly [string, ...string[]]): Promise<boolean> {
  const env = { ...process.env, PATH: [PROGRAMS, process.env.PATH].join(delimiter) };
  const child = spawn(program, args, { cwd: ROOT, env, stdio: "inherit" });
  const stop = () => {
    child.kill("SIGTERM");
    process.exit(143);
  };
  process.once("SIGTERM", stop);
  return new Promise((resolve) => {
    child.on("error", (error) => {
      console.error(`error: ${program} cannot be run: ${error.message}`);
      resolve(false);
    });
    child.on("close", (code) => {
      process.removeListener("SIGTERM", stop);
      resolve(code === 0);
    });
  });
}

function isIn(folder: string, file: string): boolean {
  return file.startsWith(join("test", folder, "/"));
}
