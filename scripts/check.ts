// What `npm test` runs after the set-up: the static checks and the tests, beside each other, as some checks keep one core busy and
// some tests none. All run even when one fails, so that one look at the output shows everything; what failed is said last.
//   no argument: all but test/long and test/hosts;  quick: types, and the tests without servers whose file takes seconds;  long: test/long only;
//   hosts: test/hosts only, as root
//   --record, after the tier: writes down how long each file of tests took, for the order of later runs
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath, pathToFileURL } from "node:url";
import { joinProgram } from "./single/bundle.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PROGRAMS = join(ROOT, "node_modules/.bin");
/** What only saves time: each entry is found by the content that it was made of, so it may be deleted, but is never wrong. */
const CACHE = join(ROOT, ".lab/cache");
/** Seconds that files of tests took when they were last recorded. */
const DURATIONS = fileURLToPath(new URL("test-durations.json", import.meta.url));

const MEMORY = "/dev/shm";
const TMPFS = 0x01021994;
const ENOUGH = 2 * 1024 ** 3;

interface Stage {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
}

interface Tier {
  readonly checks: readonly Stage[];
  readonly includes: (file: string) => boolean;
  /** Files of tests that took more seconds when they were last recorded are left to `npm test`. */
  readonly atMostSeconds?: number;
  /** For a test, and for a file of tests as a whole: ends what hangs, also on a machine that is several times slower. */
  readonly minutes: number;
  /** Whether files of tests run beside each other. */
  readonly parallel: boolean;
  /**
   * Whether the program may be joined into one script before, and Node may keep compiled code on disk: to start it and its threads
   * then takes half the time. Where memory is measured it is to be as in people's hands.
   */
  readonly startsQuickly: boolean;
  /** Whether databases may lie in memory: small ones, of tests that ask nothing of their disk. */
  readonly inMemory: boolean;
}

const FORMAT: Stage = {
  name: "format",
  command: [
    ...(["prettier", "--check", "--log-level=warn", "."] as const),
    ...["--cache", "--cache-strategy=content", `--cache-location=${join(CACHE, "prettier")}`],
  ],
};
/** Without a cache: its rules know types, and a type can change in a file other than the one that has the fault. */
const LINT: Stage = { name: "lint", command: ["eslint", "."] };
const UNUSED: Stage = { name: "unused exports, files and packages", command: ["knip"] };
const TYPES: Stage = {
  name: "types",
  command: ["tsc", "--noEmit", "--incremental", "--tsBuildInfoFile", join(CACHE, "types.tsbuildinfo")],
};

const TIERS: Readonly<Record<string, Tier>> = {
  all: {
    checks: [FORMAT, LINT, TYPES, UNUSED],
    includes: (file) => !isIn("long", file) && !isIn("hosts", file),
    minutes: 20,
    parallel: true,
    startsQuickly: true,
    inMemory: true,
  },
  quick: {
    checks: [TYPES],
    includes: (file) => !isIn("long", file) && !isIn("hosts", file) && !isIn("e2e", file),
    atMostSeconds: 5,
    minutes: 5,
    parallel: true,
    startsQuickly: true,
    inMemory: true,
  },
  long: {
    checks: [],
    includes: (file) => isIn("long", file),
    minutes: 30,
    parallel: true,
    startsQuickly: false,
    inMemory: false,
  },
  hosts: {
    checks: [],
    includes: (file) => isIn("hosts", file),
    minutes: 60,
    parallel: false,
    startsQuickly: false,
    inMemory: false,
  },
};

process.exitCode = await check(process.argv[2] ?? "all");

async function check(name: string): Promise<number> {
  const tier = TIERS[name];
  if (!tier) {
    console.error(`error: no tier "${name}": there are ${Object.keys(TIERS).join(", ")}`);
    return 2;
  }
  mkdirSync(CACHE, { recursive: true });
  if (tier.startsQuickly) {
    process.env["NODE_COMPILE_CACHE"] ??= join(CACHE, "compiled");
    process.env["LAB_PROGRAM"] ??= await programInOneScript();
  }
  const stopped = new AbortController();
  const isStopped = () => stopped.signal.aborted;
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.once(name, () => {
      stopped.abort(new Error("the checks were asked to stop"));
    });
  const { atMostSeconds = Infinity } = tier;
  const durations = readDurations();
  const all = globSync("test/**/*.test.ts", { cwd: ROOT }).filter(tier.includes);
  const files = all.filter((file) => (durations[file] ?? 0) <= atMostSeconds);
  if (files.length === 0) {
    console.error(`error: found no test files for "${name}"`);
    return 1;
  }
  const checking = Promise.all(tier.checks.map((stage) => passes(stage, stopped.signal)));
  const left = all.length - files.length;
  console.log(
    `tests: ${files.length} files${left === 0 ? "" : `; ${left} that take more than ${atMostSeconds} s are left to npm test`}`,
  );
  if (tier.inMemory) useMemory();
  const passed = await test(longestFirst(files), tier, stopped.signal);
  const results = await checking;
  const failed = tier.checks.filter((_, index) => results[index] === false).map((stage) => stage.name);
  if (failed.length > 0 && !isStopped()) console.error(`failed: ${failed.join(", ")}`);
  return isStopped() ? 143 : passed && failed.length === 0 ? 0 : 1;
}

/**
 * The path of the program as one script, joined as for the single executable, with a script for each of its threads beside it. Tests
 * that start the program hundreds of times take this one (test/support/synlift.ts); a test file that is run alone takes the checkout.
 */
async function programInOneScript(): Promise<string> {
  const { script, threads } = await joinProgram();
  const hash = createHash("sha256");
  for (const text of [script, ...threads.values()]) hash.update(text);
  const folder = join(CACHE, `program-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(folder)) return join(folder, "synlift.cjs");
  const beside = mkdtempSync(`${folder}.`);
  let main = script;
  for (const [index, [address, text]] of [...threads].entries()) {
    const name = `thread-${index}.cjs`;
    writeFileSync(join(beside, name), text);
    main = main.replaceAll(JSON.stringify(address), JSON.stringify(pathToFileURL(join(folder, name)).href));
  }
  writeFileSync(join(beside, "synlift.cjs"), main);
  try {
    // Tests run it as other accounts, too.
    chmodSync(beside, 0o755);
    renameSync(beside, folder);
  } catch (error) {
    // Another run was first.
    rmSync(beside, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return join(folder, "synlift.cjs");
}

/**
 * Has the lab's PostgreSQL keep its databases in memory, where there is plenty: a disk's file system takes much longer to make and
 * remove their thousands of files. Other folders stay on the disk, as synlift tells people whose media lies in memory. What is
 * left of killed tests goes, too.
 */
function useMemory(): void {
  if (!existsSync(MEMORY)) return;
  const { type, bavail, bsize } = statfsSync(MEMORY);
  if (type !== TMPFS || bavail * bsize < ENOUGH) return;
  const folder = mkdtempSync(join(MEMORY, "synlift-tests-"));
  // Servers run as other accounts, which have to get through.
  chmodSync(folder, 0o755);
  process.env["LAB_DATABASES"] = folder;
  process.on("exit", () => {
    rmSync(folder, { recursive: true, force: true });
  });
}

/** A long file that begins last keeps one core waiting. Node's own command line puts files into alphabetical order. */
function longestFirst(files: readonly string[]): readonly string[] {
  const known = readDurations();
  const seconds = (file: string) => known[file] ?? (isIn("e2e", file) ? 60 : 0);
  return [...files].sort().sort((one, other) => seconds(other) - seconds(one));
}

/** Resolves when the summary was written; true when all tests have passed. */
function test(
  files: readonly string[],
  { minutes, parallel }: Pick<Tier, "minutes" | "parallel">,
  signal: AbortSignal,
): Promise<boolean> {
  const events = run({
    files: files.map((file) => join(ROOT, file)),
    // Three more than there are cores, as many tests wait for a server, a disk or a clock.
    concurrency: parallel ? availableParallelism() + 3 : 1,
    timeout: minutes * 60_000,
    execArgv: ["--import", join(ROOT, "test/support/warnings-fail.ts")],
    signal,
  });
  const durations: Record<string, number> = {};
  let passed = false;
  events.on("test:summary", ({ file, duration_ms, success }) => {
    if (file === undefined) passed = success;
    else durations[relative(ROOT, file)] = Math.round(duration_ms / 1000);
  });
  const report = events.pipe(new spec());
  report.pipe(process.stdout);
  return new Promise((resolve, reject) => {
    report.on("error", reject);
    report.on("end", () => {
      if (passed && process.argv.includes("--record")) record(durations);
      resolve(passed);
    });
  });
}

function readDurations(): Readonly<Record<string, number>> {
  return JSON.parse(readFileSync(DURATIONS, "utf8")) as Record<string, number>;
}

/** Keeps what other tiers took. A file that takes no whole second comes last anyway. */
function record(durations: Readonly<Record<string, number>>): void {
  const all = Object.entries({ ...readDurations(), ...durations })
    .filter(([, seconds]) => seconds > 0)
    .sort(([one, shorter], [other, longer]) => longer - shorter || (one < other ? -1 : 1));
  writeFileSync(DURATIONS, `${JSON.stringify(Object.fromEntries(all), undefined, 2)}\n`);
}

/** Runs beside others, so what it says is shown in one piece. */
function passes({ name, command: [program, ...args] }: Stage, signal: AbortSignal): Promise<boolean> {
  const started = performance.now();
  const env = { ...process.env, PATH: [PROGRAMS, process.env["PATH"]].join(delimiter) };
  const child = spawn(program, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"], signal });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  return new Promise((resolve) => {
    child.on("error", (error) => {
      console.error(`error: ${program} cannot be run: ${error.message}`);
      resolve(false);
    });
    child.on("close", (code) => {
      process.stderr.write(said);
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(`${name}: ${code === 0 ? "ok" : "FAILED"}, ${seconds} s`);
      resolve(code === 0);
    });
  });
}

function isIn(folder: string, file: string): boolean {
  return file.startsWith(join("test", folder, "/"));
}
