import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Refusal, ROOT, reasonIn, runWithUs } from "./run.mjs";
import { SYNAPSE_ENVIRONMENT } from "./synapse.mjs";

const REQUIREMENTS = join(ROOT, "scripts/s3-requirements.txt");
/** Packages that Python finds there when PYTHONPATH says so, beside those of Synapse's environment. */
const FOLDER = join(ROOT, ".lab", "s3");
/** As in synapse.mjs: written last. */
const STAMP = join(FOLDER, "complete");

export const s3 = { what: "a server that speaks S3, and Synapse's way to it, with pip", there, bring };

function there() {
  return existsSync(STAMP) && readFileSync(STAMP, "utf8") === askedFor();
}

function askedFor() {
  return createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex");
}

async function bring() {
  const python = join(SYNAPSE_ENVIRONMENT, "bin/python");
  if (!existsSync(python)) throw refusal("it needs Synapse's environment", "see above");
  rmSync(FOLDER, { recursive: true, force: true, maxRetries: 5 });
  const quietly = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"];
  // What they need of Synapse's own packages is there: without --no-deps it would come a second time.
  const what = ["--no-deps", "--only-binary=:all:", "--target", FOLDER, "-r", REQUIREMENTS];
  const pip = await runWithUs(python, ["-m", "pip", "install", ...quietly, ...what]);
  if (pip.code !== 0) throw refusal(reasonIn(pip.output, /^ERROR: /), "check the network, then run it again");
  writeFileSync(STAMP, askedFor());
}

function refusal(reason, advice) {
  return new Refusal(`a server that speaks S3 cannot be had (${reason}); ${advice}`, { serious: false });
}
