import { execFileSync } from "node:child_process";
import { copyFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../test/support/lab/temporary-folder.ts";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));

/**
 * Compiles the program as it is published, and returns the path of its `main.js`. From the checkout each of its threads strips
 * types by itself, which costs memory and time that nobody has who installed it.
 */
export function compiledProgram(): string {
  const folder = temporaryFolder("compiled");
  execFileSync(
    process.execPath,
    [
      join(PROJECT, "node_modules/typescript/bin/tsc"),
      "-p",
      "tsconfig.build.json",
      "--outDir",
      join(folder, "dist"),
    ],
    { cwd: PROJECT, stdio: ["ignore", "inherit", "inherit"] },
  );
  copyFileSync(join(PROJECT, "package.json"), join(folder, "package.json"));
  symlinkSync(join(PROJECT, "node_modules"), join(folder, "node_modules"));
  return join(folder, "dist", "main.js");
}
