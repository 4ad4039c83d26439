#!/usr/bin/env node
// The way in. Plain JavaScript that an old Node can read as well, so that it can say what is wrong.
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { fileURLToPath } from "node:url";
import { isSuitable, noNode, ownNode, runWith } from "./own-node.js";

// Node strips no types below node_modules: what is published has been compiled, a checkout has not.
const compiled = new URL("../dist/main.js", import.meta.url);
const isCompiled = existsSync(compiled);
const own = ownNode();

if (isSuitable({ needsTypes: !isCompiled })) {
  // Kept in this folder: one below /tmp could have been made by somebody else, with code of theirs. Where it cannot be written,
  // nothing is kept. Private, whoever is the first to run this.
  process.umask(0o077);
  nodeModule.enableCompileCache?.(fileURLToPath(new URL("../node_modules/.cache/synlift", import.meta.url)));
  await import(isCompiled ? compiled : new URL("../src/main.ts", import.meta.url));
} else if (own !== undefined && process.execPath !== own) {
  // The Node that came as a dependency runs this file once more.
  runWith(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)]);
} else {
  console.error(noNode());
  process.exitCode = 1;
}
