// Makes the single executables: node scripts/single.ts [FOLDER], build/ when left out.
//   synlift-linux-x64, synlift-linux-arm64: Node with the program inside; the same bytes from the same sources
//   LICENSES.txt, sbom.json: what is inside; man/, completions/: for the machine it is put on; SHA256SUMS: of all of these
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { completions } from "./packaging/completions.ts";
import { manPages } from "./packaging/man.ts";
import { ARCHITECTURES, NEWER_NODE, newerNodeFolder } from "./setup/newer-node.mjs";
import { joinProgram, type Joined, ROOT } from "./single/bundle.ts";
import { billOfMaterials, licences, type NodeInside, readPackages } from "./single/contents.ts";

const sha256 = (data: Uint8Array | string) => createHash("sha256").update(data).digest("hex");

const folder = resolve(process.argv[2] ?? join(ROOT, "build"));
mkdirSync(folder, { recursive: true });
const work = mkdtempSync(join(folder, ".work-"));
try {
  const program = await joinProgram();
  const packages = readPackages(program.packages);
  const sums = new Map<string, string>();
  const write = (name: string, text: string) => {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
    sums.set(name, sha256(text));
  };
  write("LICENSES.txt", licences(packages, nodeInside("x64")));
  write("sbom.json", billOfMaterials(packages, nodeInside("x64")));
  for (const [name, text] of [...manPages(), ...completions()])
    write(name.endsWith(".1") ? `man/${name}` : `completions/${name}`, text);
  for (const architecture of ARCHITECTURES) {
    const name = `synlift-linux-${architecture}`;
    makeExecutable(architecture, program, licences(packages, nodeInside(architecture)));
    chmodSync(join(work, "synlift"), 0o755);
    renameSync(join(work, "synlift"), join(folder, name));
    sums.set(name, sha256(readFileSync(join(folder, name))));
  }
  const lines = [...sums].sort(([one], [other]) => (one < other ? -1 : 1));
  writeFileSync(join(folder, "SHA256SUMS"), lines.map(([name, sum]) => `${sum}  ${name}\n`).join(""));
  for (const [name, sum] of lines) console.log(`${sum}  ${join(folder, name)}`);
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** Node puts the name of the script into the executable, so that is the same everywhere, too: no path. */
function makeExecutable(architecture: string, { script, threads }: Joined, licenceText: string): void {
  writeFileSync(join(work, "synlift.cjs"), script);
  writeFileSync(join(work, "LICENSES.txt"), licenceText);
  const assets: Record<string, string> = { "LICENSES.txt": "LICENSES.txt" };
  for (const [index, [address, text]] of [...threads].entries()) {
    assets[address] = `thread-${index}.cjs`;
    writeFileSync(join(work, assets[address]), text);
  }
  const order = {
    main: "synlift.cjs",
    executable: join(newerNodeFolder(architecture), "bin/node"),
    output: "synlift",
    disableExperimentalSEAWarning: true,
    // Compiled code is that of one architecture.
    useCodeCache: architecture === process.arch,
    // NODE_OPTIONS would load files of somebody else's choice.
    execArgvExtension: "none",
    assets,
  };
  writeFileSync(join(work, "order.json"), JSON.stringify(order));
  // V8 draws a number for each run, and writes it into the compiled code.
  const args = ["--random-seed=1", "--build-sea", "order.json"];
  execFileSync(join(newerNodeFolder(process.arch), "bin/node"), args, {
    cwd: work,
    env: {},
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function nodeInside(architecture: string): NodeInside {
  const program = join(newerNodeFolder(process.arch), "bin/node");
  return {
    version: NEWER_NODE,
    sha256: sha256(readFileSync(join(newerNodeFolder(architecture), "bin/node"))),
    license: readFileSync(join(newerNodeFolder(architecture), "LICENSE"), "utf8"),
    parts: JSON.parse(
      execFileSync(program, ["-p", "JSON.stringify(process.versions)"], { encoding: "utf8", env: {} }),
    ) as Record<string, string>,
  };
}
