import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { VERSION } from "../../src/system/version.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const folder = temporaryFolder("npm");

/** Bytes. */
const LARGEST = 40e6;

test("npm pack has only what runs, and it runs", () => {
  const project = join(folder, "project");
  // Not in place: packing writes dist/ and removes it again, and other tests look at this folder.
  for (const name of [
    "src",
    "bin",
    "scripts",
    "package.json",
    "tsconfig.json",
    "tsconfig.build.json",
    "README.md",
    "LICENSE",
  ])
    cpSync(join(ROOT, name), join(project, name), { recursive: true });
  symlinkSync(realpathSync(join(ROOT, "node_modules")), join(project, "node_modules"));
  const packed = execFileSync("npm", ["pack", "--json", "--loglevel=error", "--pack-destination", folder], {
    cwd: project,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [{ files, filename }] = JSON.parse(packed.slice(packed.indexOf("["))) as [
    { files: { path: string }[]; filename: string },
  ];
  const others = files.map(({ path }) => path).filter((path) => !/^(bin|dist)\//.test(path));
  assert.deepEqual(others.sort(), ["LICENSE", "README.md", "package.json"]);
  const inDist = new Set(files.map(({ path }) => path.split("/").slice(0, 2).join("/")));
  for (const name of ["dist/main.js", "dist/man", "dist/completions"]) assert.ok(inDist.has(name), name);

  const installed = join(folder, "elsewhere/node_modules");
  mkdirSync(join(installed, "synlift"), { recursive: true });
  execFileSync("tar", [
    "-xzf",
    join(folder, filename),
    "-C",
    join(installed, "synlift"),
    "--strip-components=1",
  ]);
  for (const path of productionPackages())
    cpSync(join(ROOT, path), join(folder, "elsewhere", path), { recursive: true, dereference: true });
  // As people have it: the tests keep compiled code elsewhere.
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  for (const args of [["--version"], ["plan", "--help"]]) {
    const ran = spawnSync(process.execPath, [join(installed, "synlift/bin/synlift.js"), ...args], {
      cwd: folder,
      env,
      encoding: "utf8",
    });
    assert.deepEqual({ status: ran.status, stderr: ran.stderr }, { status: 0, stderr: "" });
    if (args[0] === "--version") assert.equal(ran.stdout, `${VERSION}\n`);
  }
  // Compiled code is kept there, for its owner only.
  const cache = join(installed, "synlift/node_modules/.cache/synlift");
  assert.equal(statSync(cache).mode & 0o077, 0);
});

test("what it depends on is smaller than 40 MB, without the Node that is optional", () => {
  const packages = productionPackages();
  assert.ok(packages.length > 20, packages.join());
  const size = packages.reduce((sum, path) => sum + sizeOf(join(ROOT, path)), 0);
  assert.ok(size > 1e6 && size < LARGEST, `${size} bytes`);
});

/** Paths below the project, none inside another. */
function productionPackages(): string[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>;
  };
  return Object.entries(packages)
    .filter(([path, { dev, optional, devOptional }]) => path !== "" && !dev && !optional && !devOptional)
    .map(([path]) => path)
    .filter((path) => path.indexOf("node_modules/", 1) < 0 && existsSync(join(ROOT, path)));
}

function sizeOf(path: string): number {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}
