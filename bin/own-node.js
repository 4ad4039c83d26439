// Finds a Node that runs this project, and runs programs with it. Plain JavaScript, as an older Node reads it.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const MAJOR = 24;

/**
 * Whether the running Node is new enough and, for a checkout, strips types: Debian builds Node without that. Older ones
 * have no such property.
 */
export function isSuitable({ needsTypes }) {
  const isNewEnough = Number(process.versions.node.split(".")[0]) >= MAJOR;
  return isNewEnough && (!needsTypes || Boolean(process.features.typescript));
}

/**
 * The path of the Node that came as a dependency; undefined where it was not installed. The file in the package itself: some
 * releases of npm make no link to it in `node_modules/.bin`. A parent's `node_modules` holds it when synlift is itself installed
 * as a package.
 */
export function ownNode() {
  const program = `node-${process.platform}-${process.arch}/bin/node`;
  return [`../node_modules/${program}`, `../../${program}`]
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path));
}

/** Why nothing can be run here, in a sentence. */
export function noNode() {
  const here = `this is ${process.version} on ${process.platform}-${process.arch}`;
  const lack = process.features.typescript === false ? ", which does not strip them" : "";
  return (
    `error: synlift needs Node ${MAJOR} or newer that strips types, ${here}${lack}\n` +
    "to install one in this folder: npm ci --omit=dev --ignore-scripts"
  );
}

/** Runs `node ...args`, passes signals on to it, and ends with its exit code. */
export function runWith(node, args) {
  const child = spawn(node, args, { stdio: ["inherit", "inherit", "inherit", ...namedDescriptor(args)] });
  // A terminal sends its signals to the whole group: passed on as well, one Ctrl-C would count as two.
  const atTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      if (signal === "SIGTERM" || !atTerminal) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    console.error(`error: ${node} cannot be run: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}

/** "inherit" passes on three descriptors; one that a passphrase is to be read from has to go along too. */
function namedDescriptor(args) {
  const at = args.findIndex((word) => /^--passphrase-fd(=|$)/.test(word));
  const descriptor = at < 0 ? NaN : Number(args[at].split("=")[1] ?? args[at + 1]);
  if (!Number.isInteger(descriptor) || descriptor < 3 || descriptor > 99) return [];
  return Array.from({ length: descriptor - 2 }, (_, index) =>
    index + 3 === descriptor ? descriptor : "ignore",
  );
}
