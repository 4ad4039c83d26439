// Runs `node <arguments>` with a Node that is suitable for this project: the running one, or else the one that comes as a
// dependency. Plain JavaScript, as an older Node reads it.
import { isSuitable, noNode, ownNode, runWith } from "../bin/own-node.js";

const node = isSuitable({ needsTypes: true }) ? process.execPath : ownNode();

if (node === undefined) {
  console.error(noNode());
  process.exitCode = 1;
} else {
  runWith(node, process.argv.slice(2));
}
