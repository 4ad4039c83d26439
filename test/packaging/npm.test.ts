import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  globSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { VERSION } from "../../src/system/version.ts";
import { makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { startNpmRegistry } from "../support/npm-registry.ts";
import { scenario } from "../support/scenario.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const { step } = scenario();
const folder = temporaryFolder("npm");

/** Bytes. */
const LARGEST = 40e6;

let tarball: string;

step("npm pack has only what runs", () => {
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
  tarball = filename;
});

step(
  "npx runs it from the tarball, with its production packages alone: its version, and a first plan",
  async () => {
    await using registry = await startNpmRegistry(productionPackages().map((path) => join(ROOT, path)));
    const cache = join(folder, "cache");
    writeFileSync(join(folder, "user-npmrc"), "");
    // As people have it: the tests keep compiled code elsewhere.
    const { NODE_COMPILE_CACHE: _, ...others } = process.env;
    const env = {
      ...others,
      ...{ NODE_TEST_CONTEXT: "", npm_config_registry: registry.url, npm_config_cache: cache },
      ...{ npm_config_userconfig: join(folder, "user-npmrc"), npm_config_update_notifier: "false" },
      // With this Node: the one that is an optional package has 120 MB.
      PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter),
      ...{ npm_config_omit: "optional", npm_config_audit: "false", npm_config_fund: "false" },
    };
    const npx = async (...args: string[]) => {
      const child = spawn("npx", ["--yes", `./${tarball}`, ...args], {
        ...{ cwd: folder, env },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let [stdout, stderr] = ["", ""];
      child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      const status = await new Promise((resolve) => child.on("close", resolve));
      return { status, stdout, stderr };
    };
    assert.deepEqual(await npx("--version"), { status: 0, stdout: `${VERSION}\n`, stderr: "" });
    const wanted = productionPackages().map((path) => path.replace(/^.*node_modules\//, ""));
    assert.deepEqual([...registry.fetched].sort(), [...new Set(wanted)].sort());

    const home = await makeHomeserverFolder({ serverName: "example.org" });
    const planned = await npx("plan", "--config", home.configFile, "--working-directory", home.dataFolder);
    // Its database was never made, which is a blocker among the answers of a plan.
    assert.equal(planned.status, 61, planned.stdout + planned.stderr);
    assert.match(planned.stdout, /^Summary\n-------\n/m);
    assert.match(planned.stdout, /example\.org/);

    // Compiled code is kept there, for its owner only.
    const [installed] = globSync("_npx/*/node_modules/synlift", { cwd: cache });
    assert.ok(installed !== undefined);
    const compiled = statSync(join(cache, installed, "node_modules/.cache/synlift"));
    assert.equal(compiled.mode & 0o077, 0);
  },
);

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
