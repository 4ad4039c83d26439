// Changes the gates and the verify files in one place at a time and runs their tests: a change that no test notices survives, and is
// printed. Stryker's arguments may follow, such as `--mutate src/move/open/gates.ts`.
import { spawnSync } from "node:child_process";
import { delimiter, dirname } from "node:path";
import { fileURLToPath } from "node:url";

const STRYKER = fileURLToPath(
  new URL("../node_modules/@stryker-mutator/core/bin/stryker.js", import.meta.url),
);

// It runs the tests with the first `node` of the PATH, which need not be this one.
const env = { ...process.env, PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter) };
const { status } = spawnSync(process.execPath, [STRYKER, "run", ...process.argv.slice(2)], {
  env,
  stdio: "inherit",
});
process.exitCode = status ?? 1;
