import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Refusal, ROOT, reasonIn, runWithUs } from "./run.mjs";

const REQUIREMENTS = join(ROOT, "scripts/synapse-requirements.txt");
const VERSION = /^matrix-synapse==(.+)$/m.exec(readFileSync(REQUIREMENTS, "utf8"))[1];
export const SYNAPSE_ENVIRONMENT = join(ROOT, ".lab", `synapse-${VERSION}`);
/** For moves to a newer Synapse: test/support/lab/synapse-server.ts names it too. */
const OLDER = "1.150.0";
const PYTHONS = [
  "python3",
  "python3.14",
  "python3.13",
  "python3.12",
  "python3.11",
  "python3.10",
  "/usr/bin/python3",
];

export const synapse = environment(VERSION);
export const olderSynapse = environment(OLDER);

/** A Synapse in a virtual environment of its own, on the same libraries. */
function environment(version) {
  const folder = join(ROOT, ".lab", `synapse-${version}`);
  const asked = readFileSync(REQUIREMENTS, "utf8").replace(
    /^matrix-synapse==.+$/m,
    `matrix-synapse==${version}`,
  );
  const hash = createHash("sha256").update(asked).digest("hex");
  /** Written last, with a hash of what was asked for, so that half an environment never passes for a finished one. */
  const stamp = join(folder, "complete");
  return {
    what: `Synapse ${version}, with pip`,
    there: () =>
      existsSync(join(folder, "bin/python")) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash,
    bring: () => bring({ version, folder, asked, stamp, hash }),
  };
}

async function bring({ version, folder, asked, stamp, hash }) {
  const chosen = python();
  if (!chosen)
    throw refusal(
      version,
      "no Python from 3.10 to 3.14 that has its venv module",
      "install python3 and python3-venv",
    );
  const requirements = join(folder, "requirements.txt");
  // One that was complete for another list gets what is new in place, for whoever is running it.
  if (existsSync(stamp)) {
    writeFileSync(requirements, asked);
    if ((await install(folder, requirements)).code === 0) {
      writeFileSync(stamp, hash);
      return;
    }
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  const made = await runWithUs(chosen, ["-m", "venv", folder]);
  if (made.code !== 0)
    throw refusal(version, reasonIn(made.output, /error: /i), "install python3-venv, then run it again");
  writeFileSync(requirements, asked);
  const pip = await install(folder, requirements);
  if (pip.code !== 0)
    throw refusal(version, reasonIn(pip.output, /^ERROR: /), "check the network, then run it again");
  writeFileSync(stamp, hash);
}

function install(folder, requirements) {
  // Without --only-binary a missing wheel would need a compiler, a Rust one included.
  const args = [
    ...["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"],
    ...["--only-binary=:all:", "-r", requirements],
  ];
  return runWithUs(join(folder, "bin/python"), args);
}

function refusal(version, reason, advice) {
  return new Refusal(`Synapse ${version} cannot be had (${reason}); ${advice}`, { serious: false });
}

/** The first Python that is new enough, not too new for the wheels, and can make a virtual environment. */
export function python() {
  const check =
    "import sys, venv, ensurepip; ensurepip.version(); sys.exit(not (3, 10) <= sys.version_info < (3, 15))";
  return PYTHONS.find((name) => spawnSync(name, ["-c", check], { stdio: "ignore" }).status === 0);
}
