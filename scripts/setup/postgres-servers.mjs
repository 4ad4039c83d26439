import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { Refusal, ROOT, reasonIn, runWithUs } from "./run.mjs";

const REQUIREMENTS = join(ROOT, "scripts/setup/postgres-servers");
const FILES = ["package.json", "package-lock.json"];
/** Not among the project's packages: they are 350 MB, and only tests need them. */
const FOLDER = join(ROOT, ".lab", "postgres");
/** As in synapse.mjs: written last. */
const STAMP = join(FOLDER, "complete");

/** Debian has one major version for each of its releases. The package exists for few platforms; elsewhere the tests run Debian's only. */
export const postgresServers = {
  what: "servers of PostgreSQL 12 to 18, with npm",
  there: () =>
    `${process.platform}-${process.arch}` !== "linux-x64" ||
    (existsSync(STAMP) && readFileSync(STAMP, "utf8") === askedFor()),
  bring,
};

function askedFor() {
  const hash = createHash("sha256");
  for (const name of FILES) hash.update(readFileSync(join(REQUIREMENTS, name)));
  return hash.digest("hex");
}

async function bring() {
  rmSync(FOLDER, { recursive: true, force: true, maxRetries: 5 });
  mkdirSync(FOLDER, { recursive: true });
  for (const name of FILES) copyFileSync(join(REQUIREMENTS, name), join(FOLDER, name));
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1"];
  // With --prefix, npm takes the folder for a dependency of the project.
  const { code, output } = await runWithUs("env", [`--chdir=${FOLDER}`, "npm", ...args]);
  if (code !== 0)
    throw new Refusal(
      `the servers of PostgreSQL cannot be had (${reasonIn(output, /^npm error (?!code|syscall|errno|A complete log|\s*$)/)}); check the network, then run it again`,
      { serious: false },
    );
  const { dependencies } = JSON.parse(readFileSync(join(REQUIREMENTS, "package.json"), "utf8"));
  for (const name of Object.keys(dependencies)) makeLinks(join(FOLDER, "node_modules", name));
  writeFileSync(STAMP, askedFor());
}

/** A package has no symbolic links, but a list of them, with which its own script would make them. */
function makeLinks(folder) {
  for (const { source, target } of JSON.parse(
    readFileSync(join(folder, "native/pg-symlinks.json"), "utf8"),
  )) {
    const link = join(folder, target);
    if (dirname(source) !== dirname(target)) throw new Error(`${target} links to another folder`);
    if (!existsSync(link)) symlinkSync(basename(source), link);
  }
}
