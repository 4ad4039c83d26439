// Brings what the tests and the demo need, on a Debian machine that has some Node and npm. It runs before anything is
// installed and on Node 20, hence plain JavaScript without dependencies. When all is there it only looks, which takes
// a tenth of a second. With the argument "demo", PostgreSQL and Synapse are wanted but not required; with "build", only what the
// single executable is made of; with "hosts", what makes the machines of test/hosts is wanted too.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { debianPackages } from "./setup/debian.mjs";
import { newerNode } from "./setup/newer-node.mjs";
import { postgresServers } from "./setup/postgres-servers.mjs";
import { newEnoughNode, projectPackages } from "./setup/packages.mjs";
import { programPath, Refusal, ROOT } from "./setup/run.mjs";
import { s3 } from "./setup/s3.mjs";
import { olderSynapse, synapse } from "./setup/synapse.mjs";

const forDemo = process.argv.includes("demo");
const forBuild = process.argv.includes("build");

/** In this order: Synapse's environment is made with a Python that the Debian packages may have brought. */
const NEEDS = [
  projectPackages,
  newEnoughNode,
  ...(forBuild ? [newerNode] : [debianPackages(forDemo, process.argv.includes("hosts")), synapse]),
  ...(forDemo || forBuild ? [] : [olderSynapse, s3, newerNode, postgresServers]),
];

const hasLock = process.argv.includes("--locked");

if (NEEDS.some((need) => !need.there())) process.exitCode = hasLock ? await bringAll() : runAgainLocked();

/** The kernel lets go of the lock when its holder dies, however it dies: one that is held is never a stale one. */
function runAgainLocked() {
  mkdirSync(join(ROOT, ".lab"), { recursive: true });
  const again = [process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2), "--locked"];
  const [program, ...args] = programPath("flock")
    ? ["flock", join(ROOT, ".lab/setup.lock"), ...again]
    : again;
  return spawnSync(program, args, { stdio: "inherit" }).status ?? 1;
}

async function bringAll() {
  let exitCode = 0;
  for (const need of NEEDS) {
    // A set-up that waited for another finds here that all has been brought meanwhile.
    if (need.there()) continue;
    const started = performance.now();
    process.stdout.write(`set-up: ${need.what} … `);
    try {
      await need.bring();
      console.log(`brought in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      console.log("not to be had");
      console.error(`set-up: ${error.message}`);
      if (error.serious || !forDemo) exitCode = 1;
    }
  }
  return exitCode;
}
