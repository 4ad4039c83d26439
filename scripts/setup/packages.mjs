import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { isSuitable, ownNode } from "../../bin/own-node.js";
import { Refusal, ROOT, reasonIn, runWithUs } from "./run.mjs";

const NODE_MAJOR = 24;
const MODULES = join(ROOT, "node_modules");

export const projectPackages = {
  what: "the project's packages, with npm",
  there: packagesThere,
  bring: bringPackages,
};

/** It comes with the packages, as an optional dependency: when it is not there by now, nothing here can bring it. */
export const newEnoughNode = {
  what: `Node ${NODE_MAJOR} or newer`,
  there: nodeThere,
  bring() {
    const here = `${process.version} on ${process.platform}-${process.arch}`;
    throw new Refusal(
      `Node ${NODE_MAJOR} or newer that strips types is needed, this is ${here} and npm brought no other; install it from nodejs.org`,
    );
  },
};

/** npm writes its own list of what it installed, last of all; it is compared with the list that was asked for. */
function packagesThere() {
  const wanted = listedIn(join(ROOT, "package-lock.json"));
  const installed = listedIn(join(MODULES, ".package-lock.json"));
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (path === "") return true;
    const found = installed[path];
    // Optional ones are for other machines and left out; the Node that we cannot do without is not.
    if (!found)
      return optional === true && (nodeThere() || !path.endsWith(`node-${process.platform}-${process.arch}`));
    return found.version === version && found.integrity === integrity && existsSync(join(ROOT, path));
  });
}

function listedIn(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages;
  } catch {
    return {};
  }
}

async function bringPackages() {
  // npm must not run on the Node inside node_modules, which it is about to remove.
  const PATH = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== join(MODULES, ".bin"));
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1"];
  const { code, output } = await runWithUs("npm", args, { PATH: PATH.join(delimiter) });
  if (code === 0 && packagesThere()) return;
  const reason = reasonIn(output, /^npm error (?!code|syscall|errno|A complete log|\s*$)/);
  throw new Refusal(`the project's packages cannot be had (${reason}); check the network, then run it again`);
}

function nodeThere() {
  return isSuitable({ needsTypes: true }) || ownNode() !== undefined;
}
