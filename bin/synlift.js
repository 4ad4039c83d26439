#!/usr/bin/env node
// The way in. Plain JavaScript that an old Node can read as well, so that it can say what is wrong.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const beside = (path) => fileURLToPath(new URL(path, import.meta.url));

// Node strips no types below node_modules: what is published has been compiled, a checkout has not.
const [program] = ["../dist/main.js", "../src/main.ts"].map(beside).filter(existsSync);
const [ownNode, startOwnNode] = ["../node_modules/.bin/node", "../scripts/node.mjs"].map(beside);

if (Number(process.versions.node.split(".")[0]) >= 24) {
  await import(program);
} else if (existsSync(ownNode) && existsSync(startOwnNode)) {
  // In a checkout, the Node that came as a dev dependency runs this file once more.
  process.argv.splice(1, 1, startOwnNode, fileURLToPath(import.meta.url));
  await import(startOwnNode);
} else {
  console.error(`error: synlift needs Node 24 or newer, this is ${process.version}`);
  process.exitCode = 1;
}
