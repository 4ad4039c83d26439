import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

// What npm 9.2, Debian's, leaves: the package of Node, and no link to its program in `node_modules/.bin`.

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NODE_PACKAGE = `node-${process.platform}-${process.arch}`;

/** A Node that cannot strip types: this one, told not to, as Debian's are built. */
const WITHOUT_TYPES = ["--no-experimental-strip-types"];

/** The same, that says that it is an old one. */
const OLDER = [
  ...WITHOUT_TYPES,
  "--import",
  `data:text/javascript,${encodeURIComponent(
    'Object.defineProperty(process, "versions", { value: { node: "18.20.4" } }); Object.defineProperty(process, "version", { value: "v18.20.4" });',
  )}`,
];

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function installed({ withNode }: { withNode: boolean }): string {
  const folder = mkdtempSync(join(tmpdir(), "synlift-start-"));
  folders.push(folder);
  cpSync(join(ROOT, "bin"), join(folder, "bin"), { recursive: true });
  cpSync(join(ROOT, "package.json"), join(folder, "package.json"));
  mkdirSync(join(folder, "scripts"));
  cpSync(join(ROOT, "scripts/node.mjs"), join(folder, "scripts/node.mjs"));
  symlinkSync(join(ROOT, "src"), join(folder, "src"));
  mkdirSync(join(folder, "node_modules"));
  if (withNode)
    symlinkSync(join(ROOT, "node_modules", NODE_PACKAGE), join(folder, "node_modules", NODE_PACKAGE));
  return folder;
}

function run(options: readonly string[], args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...options, ...args], { encoding: "utf8" });
  return { status, stdout: stdout.trim(), stderr: stderr.trim() };
}

for (const [what, options] of Object.entries({
  "that strips no types": WITHOUT_TYPES,
  "of an older release": OLDER,
})) {
  test(`started by a Node ${what}, the command runs with the Node of its package`, () => {
    const folder = installed({ withNode: true });
    const { status, stdout, stderr } = run(options, [join(folder, "bin/synlift.js"), "--version"]);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    assert.match(stdout, /^\d+\.\d+\.\d+$/);
    const script = run(options, [join(folder, "scripts/node.mjs"), "-p", "process.features.typescript"]);
    assert.deepEqual(script, { status: 0, stdout: "strip", stderr: "" });
  });

  test(`started by a Node ${what} without another beside it, the command says what to run`, () => {
    const folder = installed({ withNode: false });
    for (const program of ["bin/synlift.js", "scripts/node.mjs"]) {
      const { status, stderr } = run(options, [join(folder, program), "--version"]);
      assert.equal(status, 1);
      assert.match(
        stderr,
        /^error: synlift needs Node 24 or newer .*\n.*npm ci --omit=dev --ignore-scripts$/,
      );
    }
  });
}

test("the exit code passes through the second Node", () => {
  const folder = installed({ withNode: true });
  const { status } = run(WITHOUT_TYPES, [join(folder, "bin/synlift.js"), "migrate"]);
  assert.equal(status, 2);
});

test("started in a folder that was removed meanwhile, it says so and what to do", () => {
  const folder = mkdtempSync(join(tmpdir(), "synlift-gone-"));
  const main = join(ROOT, "src/main.ts");
  for (const json of [[], ["--json"]]) {
    const { status, stdout, stderr } = spawnSync(
      "sh",
      [
        "-c",
        'mkdir -p "$0"; cd "$0" && rmdir "$0" && exec "$@"',
        folder,
        process.execPath,
        main,
        "status",
        ...json,
      ],
      { encoding: "utf8" },
    );
    assert.deepEqual({ status, stdout }, { status: 17, stdout: "" }, stderr);
    assert.match(
      stderr,
      /the folder in which this command was started no longer exists.*change to another folder/s,
    );
    assert.doesNotMatch(stderr, /a bug|uv_cwd/);
  }
});
