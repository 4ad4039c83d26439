// Runs `node <arguments>` with a Node that is new enough for this project: the running one, or else the one that comes
// as a dev dependency. Plain JavaScript, as an older Node reads it.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const own = fileURLToPath(new URL("../node_modules/.bin/node", import.meta.url));
const isNewEnough = Number(process.versions.node.split(".")[0]) >= 24;

if (isNewEnough || existsSync(own)) {
  runWith(isNewEnough ? process.execPath : own);
} else {
  console.error(`error: Node 24 or newer is needed, this is ${process.version}`);
  process.exitCode = 1;
}

/** "inherit" passes on three descriptors; one that a passphrase is to be read from has to go along too. */
function named() {
  const at = process.argv.findIndex((word) => /^--passphrase-fd(=|$)/.test(word));
  const descriptor = at < 0 ? NaN : Number(process.argv[at].split("=")[1] ?? process.argv[at + 1]);
  if (!Number.isInteger(descriptor) || descriptor < 3 || descriptor > 99) return [];
  return Array.from({ length: descriptor - 2 }, (_, index) =>
    index + 3 === descriptor ? descriptor : "ignore",
  );
}

function runWith(node) {
  const child = spawn(node, process.argv.slice(2), { stdio: ["inherit", "inherit", "inherit", ...named()] });
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
