// Writes the man pages and the completions: node scripts/packaging.ts FOLDER makes FOLDER/man and FOLDER/completions.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { completions } from "./packaging/completions.ts";
import { manPages } from "./packaging/man.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("error: give the folder to write into");
  process.exitCode = 2;
} else {
  for (const [name, files] of [
    ["man", manPages()],
    ["completions", completions()],
  ] as const) {
    rmSync(join(folder, name), { recursive: true, force: true });
    mkdirSync(join(folder, name), { recursive: true });
    for (const [file, text] of files) writeFileSync(join(folder, name, file), text);
  }
}
