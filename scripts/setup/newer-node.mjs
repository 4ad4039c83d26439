import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Refusal, ROOT, reasonIn, run, runWithUs } from "./run.mjs";

/** Puts a script into a copy of itself (`--build-sea`), which Node 24 cannot. */
export const NEWER_NODE = "26.12.1";

/** Of `bin/node` in the package of each platform. A change of the version is a change of these. */
const SHA256 = {
  x64: "08f12d42fb304468e8ee86247fe686aae5b225836ea65e9d6566c11ae6ba2e8e",
  arm64: "7d32bda549eb24395c1d9830731470a0045781b15797d5943591c333a085b2da",
};

export const ARCHITECTURES = Object.keys(SHA256);

/** Has `bin/node` and `LICENSE`. */
export const newerNodeFolder = (architecture) =>
  join(ROOT, ".lab", `node-linux-${architecture}-${NEWER_NODE}`);

export const newerNode = {
  what: `Node ${NEWER_NODE}, which the single executable is made of, with npm`,
  there: () => ARCHITECTURES.every((architecture) => existsSync(newerNodeFolder(architecture))),
  async bring() {
    for (const architecture of ARCHITECTURES)
      if (!existsSync(newerNodeFolder(architecture))) await bring(architecture);
  },
};

/** Packed and unpacked, not installed: npm installs no package of another architecture. It gets its name when it was checked. */
async function bring(architecture) {
  mkdirSync(join(ROOT, ".lab"), { recursive: true });
  const work = mkdtempSync(join(ROOT, ".lab/newer-node-"));
  try {
    const name = `node-linux-${architecture}`;
    const quietly = ["--loglevel=error", "--fetch-retries=1"];
    const npm = ["pack", ...quietly, "--pack-destination", work, `${name}@${NEWER_NODE}`];
    const packed = await runWithUs("npm", npm);
    if (packed.code !== 0) throw refusal(reasonIn(packed.output, /^npm error (?!code|A complete log)/));
    const archive = join(work, `${name}-${NEWER_NODE}.tgz`);
    const unpacked = await run("tar", ["-xzf", archive, "-C", work, "package/bin/node", "package/LICENSE"]);
    if (unpacked.code !== 0) throw refusal(reasonIn(unpacked.output, /^tar: /));
    const found = createHash("sha256")
      .update(readFileSync(join(work, "package/bin/node")))
      .digest("hex");
    if (found !== SHA256[architecture]) throw refusal(`${name} holds another program, with sha256 ${found}`);
    renameSync(join(work, "package"), newerNodeFolder(architecture));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function refusal(reason) {
  return new Refusal(`Node ${NEWER_NODE} cannot be had (${reason}); check the network, then run it again`, {
    serious: false,
  });
}
