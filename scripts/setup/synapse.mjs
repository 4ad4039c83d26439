import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Refusal, ROOT, reasonIn, runWithUs } from "./run.mjs";

const REQUIREMENTS = join(ROOT, "scripts/synapse-requirements.txt");
const VERSION = /^matrix-synapse==(.+)$/m.exec(readFileSync(REQUIREMENTS, "utf8"))[1];
const ENVIRONMENT = join(ROOT, ".lab", `synapse-${VERSION}`);
export { ENVIRONMENT as SYNAPSE_ENVIRONMENT };
/** Written last, with a hash of what was asked for, so that half an environment never passes for a finished one. */
const STAMP = join(ENVIRONMENT, "complete");
const PYTHONS = [
  "python3",
  "python3.14",
  "python3.13",
  "python3.12",
  "python3.11",
  "python3.10",
  "/usr/bin/python3",
];

export const synapse = { what: `Synapse ${VERSION}, with pip`, there, bring };

function there() {
  return (
    existsSync(join(ENVIRONMENT, "bin/python")) &&
    existsSync(STAMP) &&
    readFileSync(STAMP, "utf8") === askedFor()
  );
}

function askedFor() {
  return createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex");
}

async function bring() {
  const chosen = python();
  if (!chosen)
    throw refusal("no Python from 3.10 to 3.14 that has its venv module", "install python3 and python3-venv");
  rmSync(ENVIRONMENT, { recursive: true, force: true, maxRetries: 5 });
  const made = await runWithUs(chosen, ["-m", "venv", ENVIRONMENT]);
  if (made.code !== 0)
    throw refusal(reasonIn(made.output, /error: /i), "install python3-venv, then run it again");
  // Without --only-binary a missing wheel would need a compiler, a Rust one included.
  const args = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-input",
    "--disable-pip-version-check",
    "--retries",
    "2",
  ];
  const pip = await runWithUs(join(ENVIRONMENT, "bin/python"), [
    ...args,
    "--only-binary=:all:",
    "-r",
    REQUIREMENTS,
  ]);
  if (pip.code !== 0) throw refusal(reasonIn(pip.output, /^ERROR: /), "check the network, then run it again");
  writeFileSync(STAMP, askedFor());
}

function refusal(reason, advice) {
  return new Refusal(`Synapse ${VERSION} cannot be had (${reason}); ${advice}`, { serious: false });
}

/** The first Python that is new enough, not too new for the wheels, and can make a virtual environment. */
export function python() {
  const check =
    "import sys, venv, ensurepip; ensurepip.version(); sys.exit(not (3, 10) <= sys.version_info < (3, 15))";
  return PYTHONS.find((name) => spawnSync(name, ["-c", check], { stdio: "ignore" }).status === 0);
}
