import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { DirectoryWalker } from "../../../src/system/files/directory-walker.ts";
import { realFiles as files, type WalkEntry } from "../../../src/system/files/files.ts";
import { asNobody } from "../../support/as-nobody.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

function put(path: string, content = "x"): void {
  if (!existsSync(dirname(path))) mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

interface Tree {
  readonly folder: string;
  /** Of all files, in the order of a walk. */
  readonly names: readonly string[];
}

const trees = new Map<number, Tree>();

/** Folders in folders, of which the walk needs threads from a hundred on. Each is made once: add no file. */
function treeOf(count: number): Tree {
  const tree = trees.get(count) ?? makeTree(count);
  trees.set(count, tree);
  return tree;
}

function makeTree(count: number): Tree {
  const folder = temporaryFolder("walk");
  for (let index = 0; index < count; index += 1) {
    const place = `${index.toString(36)}/${(index % 7).toString()}`;
    for (const name of ["B", "a", "é", "10", "9", "a-", "a/b", "\uFFEE", "🦊"]) {
      if (name !== "a" || index % 2 === 0)
        put(join(folder, place, index % 2 === 0 ? name.replace("/", "+") : name), name);
    }
  }
  return { folder, names: sorted(folder, "") };
}

/** What a walk is to find, found in the plainest way. */
function sorted(folder: string, prefix: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) =>
    entry.isDirectory()
      ? sorted(join(folder, entry.name), `${prefix}${entry.name}/`)
      : [`${prefix}${entry.name}`],
  );
}

async function walked(folder: string, signal?: AbortSignal): Promise<WalkEntry[]> {
  const found: WalkEntry[] = [];
  for await (const batch of files.walk(folder, signal)) found.push(...batch);
  return found;
}

const told = (found: readonly WalkEntry[]) => found.map(({ name, kind }) => `${kind} ${name}`);

test("folders are told of where they are asked for, each before what lies in it", async () => {
  for (const count of [3, 100]) {
    const { folder, names } = treeOf(count);
    mkdirSync(join(folder, "0/empty"));
    const found: string[] = [];
    for await (const batch of files.walk(folder, undefined, { folders: true }))
      for (const { name, kind, uid } of batch) {
        if (kind !== "folder") continue;
        assert.equal(uid, process.getuid?.());
        found.push(name);
      }
    const parents = names.flatMap((name) =>
      name.split("/").map((_, index, parts) => parts.slice(0, index).join("/")),
    );
    const expected = new Set([...parents.filter((name) => name !== ""), "0/empty"]);
    assert.deepEqual([...found].sort(), [...expected].sort());
    assert.ok(found.indexOf("0") < found.indexOf("0/empty"));
  }
});

test("a walk finds every file in one order, whether threads do it or not", async () => {
  for (const count of [3, 99, 100, 250]) {
    const { folder, names } = treeOf(count);
    const found = await walked(folder);
    assert.deepEqual(
      found.map(({ name }) => name),
      names,
      `${count} folders`,
    );
    assert.ok(found.every(({ kind }) => kind === "file"));
    for (const { name, size, mode, mtimeMs } of [found[0]!, found.at(-1)!]) {
      const entry = await files.lstat(join(folder, name));
      assert.deepEqual([size, mode, mtimeMs], [entry?.size, entry?.mode, entry?.mtimeMs]);
    }
  }
});

test("links and pipes are told and not followed; only the folder itself may be a link", async () => {
  const folder = temporaryFolder("walk");
  put(join(folder, "a/file"));
  symlinkSync("a", join(folder, "link"));
  symlinkSync("nowhere", join(folder, "dangling"));
  execFileSync("mkfifo", [join(folder, "a/pipe")]);
  const whole = ["file a/file", "other a/pipe", "link dangling", "link link"];
  assert.deepEqual(told(await walked(folder)), whole);
  const beside = join(temporaryFolder("walk"), "link");
  symlinkSync(folder, beside);
  assert.deepEqual(told(await walked(beside)), whole);
});

test("a name that is no UTF-8 is told, though nobody can open it", async () => {
  const folder = temporaryFolder("walk");
  const bad = Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.from([0xe9])]);
  writeFileSync(bad, "x");
  assert.deepEqual(told(await walked(folder)), ["other caf\uFFFD"]);
  rmSync(bad);
  mkdirSync(bad);
  assert.deepEqual(told(await walked(folder)), ["other caf\uFFFD"]);
});

test("a folder that is not there, or is a file, holds nothing", async () => {
  const folder = temporaryFolder("walk");
  put(join(folder, "file"));
  assert.deepEqual(await walked(join(folder, "none")), []);
  assert.deepEqual(await walked(join(folder, "file")), []);
});

test("what goes away while the walk is under way is left out", async () => {
  const folder = temporaryFolder("walk");
  for (const name of ["a/1", "b/1", "c/1", "d/1"]) put(join(folder, name));
  const found: string[] = [];
  for await (const batch of files.walk(folder)) {
    found.push(...batch.map(({ name }) => name));
    rmSync(join(folder, "b"), { recursive: true, force: true });
    if (found.length === 1) renameSync(join(folder, "c"), join(folder, "z"));
  }
  assert.deepEqual(found, ["a/1", "d/1"]);
});

test("a folder may go away, or turn into a file, between its listing and the look at what is in it", () => {
  const folder = temporaryFolder("walk");
  const many = Array.from({ length: 1100 }, (_, index) => `many/${String(index).padStart(4, "0")}`);
  for (const name of many) put(join(folder, name));
  const descent = new DirectoryWalker(folder, "many/");
  assert.equal(descent.take().names.split("\0").length, 999, "one step was the folder");
  rmSync(join(folder, "many"), { recursive: true });
  put(join(folder, "many"));
  assert.deepEqual({ ...descent.take(), numbers: 0 }, { names: "", numbers: 0, last: true });
});

test("a folder nobody may look into is told as closed, and the walk goes on", async () => {
  const folder = temporaryFolder("walk");
  for (const name of ["a/1", "b/1", "c/d/1", "e/1"]) put(join(folder, name));
  chmodSync(join(folder, "b"), 0o000);
  chmodSync(join(folder, "c"), 0o644);
  await asNobody(async () => {
    assert.deepEqual(told(await walked(folder)), ["file a/1", "closed b", "closed c/d", "file e/1"]);
    assert.deepEqual(told(await walked(join(folder, "b"))), ["closed "]);
  });
});

test("a walk that is to stop stops, and leaves no thread behind", async () => {
  for (const count of [99, 250]) {
    const { folder } = treeOf(count);
    const controller = new AbortController();
    const reason = new Error("that is enough");
    await assert.rejects(async () => {
      for await (const _ of files.walk(folder, controller.signal)) controller.abort(reason);
    }, reason);
    await assert.rejects(walked(folder, controller.signal), reason);
    for await (const _ of files.walk(folder)) break;
  }
});
