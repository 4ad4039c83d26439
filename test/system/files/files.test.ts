import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { realFiles as files, UNFINISHED_SUFFIX } from "../../../src/system/files/files.ts";
import { chunked, collect, noise } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { smallDisk } from "../../support/small-disk.ts";

const folderOf = () => temporaryFolder("files");
const modeOf = (path: string) => statSync(path).mode & 0o777;

test("a file is written whole, replacing what was there, with nothing beside it", async () => {
  const folder = folderOf();
  const path = join(folder, "journal.json");
  await files.writeAtomically(path, "first");
  await files.writeAtomically(path, "second, longer");
  assert.equal(readFileSync(path, "utf8"), "second, longer");
  assert.deepEqual(readdirSync(folder), ["journal.json"]);
});

test("writing over a link replaces the link and leaves what it led to", async () => {
  const folder = folderOf();
  writeFileSync(join(folder, "theirs"), "untouched");
  symlinkSync("theirs", join(folder, "ours"));
  await files.writeAtomically(join(folder, "ours"), "new");
  assert.equal(readFileSync(join(folder, "theirs"), "utf8"), "untouched");
  assert.equal((await files.lstat(join(folder, "ours")))?.kind, "file");
});

test("files are for our eyes only, or as asked, whatever the umask is", async () => {
  const before = process.umask(0o022);
  try {
    for (const umask of [0o000, 0o022, 0o077, 0o777]) {
      process.umask(umask);
      const folder = temporaryFolder("modes");
      await files.writeAtomically(join(folder, "whole"), "x");
      await files.writeAtomically(join(folder, "shared"), "x", 0o644);
      const begun = await files.begin(join(folder, "begun"));
      await begun.finish();
      const modes = ["whole", "begun", "shared"].map((name) => modeOf(join(folder, name)));
      assert.deepEqual(modes, [0o600, 0o600, 0o644], `umask ${umask.toString(8)}`);
    }
  } finally {
    process.umask(before);
  }
});

test("a folder has the mode that was asked for, and so have those above it that were made with it", async () => {
  const folder = folderOf();
  const before = process.umask(0o077);
  try {
    await files.makeFolder(join(folder, "unit.d/below"), 0o755);
    await files.makeFolder(join(folder, "own"));
    chmodSync(join(folder, "own"), 0o750);
    await files.makeFolder(join(folder, "own"), 0o755);
  } finally {
    process.umask(before);
  }
  assert.equal(modeOf(join(folder, "unit.d")), 0o755);
  assert.equal(modeOf(join(folder, "unit.d/below")), 0o755);
  // Only what is made: a folder that is there keeps its mode.
  assert.equal(modeOf(join(folder, "own")), 0o750);
});

test("a file that is being written has no name that anybody takes for the finished one", async () => {
  const folder = folderOf();
  const path = join(folder, "part-aa");
  writeFileSync(path, "the earlier one");
  const file = await files.begin(path);
  await file.write(Buffer.from("half"));
  assert.equal(readFileSync(path, "utf8"), "the earlier one");
  const [temporary] = readdirSync(folder).filter((name) => name !== "part-aa");
  assert.ok(temporary?.startsWith(".") && temporary.endsWith(UNFINISHED_SUFFIX));
  assert.equal(modeOf(join(folder, temporary!)), 0o600);
  await file.write(Buffer.from(" and half"));
  assert.equal(file.size, 13);
  await file.finish();
  assert.equal(readFileSync(path, "utf8"), "half and half");
  assert.deepEqual(readdirSync(folder), ["part-aa"]);
});

test("nothing is left of a file that is abandoned, and abandoning a finished one does nothing", async () => {
  const folder = folderOf();
  const file = await files.begin(join(folder, "gone"));
  await file.write(noise(100_000));
  await file.abandon();
  await file.abandon();
  assert.deepEqual(readdirSync(folder), []);

  const kept = await files.begin(join(folder, "kept"));
  await kept.write(Buffer.from("x"));
  await kept.finish();
  await kept.abandon();
  assert.deepEqual(readdirSync(folder), ["kept"]);
});

test("what a killed run left of a file does not stand in the way of the next", async () => {
  const folder = folderOf();
  writeFileSync(join(folder, `.name${UNFINISHED_SUFFIX}`), "left behind, longer than the new one", {
    mode: 0o400,
  });
  await files.writeAtomically(join(folder, "name"), "new");
  assert.equal(readFileSync(join(folder, "name"), "utf8"), "new");
  assert.deepEqual(readdirSync(folder), ["name"]);
});

test("somebody who cuts a file short while it is written is noticed, and it gets no name", async () => {
  const folder = folderOf();
  const file = await files.begin(join(folder, "part"));
  await file.write(noise(1000));
  execFileSync("truncate", ["--size=10", join(folder, `.part${UNFINISHED_SUFFIX}`)]);
  await assert.rejects(file.finish(), {
    code: "file-failed",
    message: /10 bytes on disk, 1000 were written/,
  });
  await file.abandon();
  assert.deepEqual(readdirSync(folder), []);
});

test("of many who create the same file at once exactly one wins, and it holds the winner's words", async () => {
  const folder = folderOf();
  const path = join(folder, "lock");
  const won = await Promise.all(Array.from({ length: 50 }, (_, me) => files.createNew(path, `I am ${me}`)));
  assert.equal(won.filter(Boolean).length, 1);
  assert.equal(readFileSync(path, "utf8"), `I am ${won.indexOf(true)}`);
  assert.deepEqual(readdirSync(folder), ["lock"]);
});

async function fullDisk(t: TestContext): Promise<string> {
  const folder = await smallDisk(t);
  writeFileSync(join(folder, "mine"), "kept");
  return folder;
}
const FULL = { code: "disk-full", message: /no space left/, hint: /completed work is kept/ };

test("a full disk is said to be full, and nothing is left of what did not fit", async (t) => {
  const folder = await fullDisk(t);
  await assert.rejects(files.writeAtomically(join(folder, "too-large"), noise(3 * 1024 * 1024)), FULL);
  assert.deepEqual(readdirSync(folder), ["mine"]);

  const file = await files.begin(join(folder, "part"));
  await assert.rejects(async () => {
    for (let megabytes = 0; megabytes < 3; megabytes++) await file.write(noise(1024 * 1024));
  }, FULL);
  await file.abandon();
  assert.deepEqual(readdirSync(folder), ["mine"]);
  assert.equal(readFileSync(join(folder, "mine"), "utf8"), "kept");
  await files.writeAtomically(join(folder, "small"), "there is room again");
});

test("a full disk leaves no half of a lock and no folder half made", async (t) => {
  const folder = await fullDisk(t);
  for (let filled = 0; filled < 400 && (await files.diskSpace(folder)).free > 0; filled++)
    writeFileSync(
      join(folder, `filler-${filled}`),
      noise(Math.min(4096, (await files.diskSpace(folder)).free)),
    );
  const before = readdirSync(folder);
  await assert.rejects(files.createNew(join(folder, "lock"), "x".repeat(5000)), FULL);
  assert.deepEqual(readdirSync(folder), before);
});

test("a file is read in any range, to the byte", async () => {
  const path = join(folderOf(), "file");
  const bytes = noise(3 * 1024 * 1024 + 7);
  writeFileSync(path, bytes);
  assert.deepEqual(await collect(files.read(path)), bytes);
  for (const [from, to] of [
    [0, 1],
    [5, 5],
    [1024 * 1024 - 1, 1024 * 1024 + 1],
    [bytes.length - 1, bytes.length],
    [7, bytes.length + 100],
  ] as const)
    assert.deepEqual(
      await collect(files.read(path, { from, to })),
      bytes.subarray(from, to),
      `${from} to ${to}`,
    );
});

test("a path that is not there is named in the error", async () => {
  const path = join(folderOf(), "nothing", "here");
  const missing = { code: "file-missing", message: new RegExp(path) };
  await assert.rejects(collect(files.read(path)), missing);
  await assert.rejects(files.readText(path), missing);
  await assert.rejects(files.list(path), missing);
  await assert.rejects(files.writeAtomically(path, "x"), { code: "file-missing" });
  await files.remove(path);
  assert.equal(await files.lstat(path), undefined);
  assert.equal(await files.lstat(join(path, "further")), undefined);
});

test("a file that is too large to be what it should be is not read at all", async () => {
  const path = join(folderOf(), "huge");
  writeFileSync(path, "");
  execFileSync("truncate", ["--size=20M", path]);
  await assert.rejects(files.readText(path), { code: "file-failed", message: /too large.*20971520 bytes/ });
});

test("links are told from what they lead to, and a link that leads nowhere is nothing when followed", async () => {
  const folder = folderOf();
  mkdirSync(join(folder, "real"));
  symlinkSync("real", join(folder, "link"));
  symlinkSync("nowhere", join(folder, "dangling"));
  assert.equal((await files.lstat(join(folder, "link")))?.kind, "link");
  assert.equal((await files.stat(join(folder, "link")))?.kind, "folder");
  assert.equal((await files.lstat(join(folder, "dangling")))?.kind, "link");
  assert.equal(await files.stat(join(folder, "dangling")), undefined);
});

test("names in a folder come in the same order everywhere", async () => {
  const folder = folderOf();
  for (const name of ["b", "B", "a", "ä", "Z", "10", "9"]) writeFileSync(join(folder, name), "");
  assert.deepEqual(await files.list(folder), ["10", "9", "B", "Z", "a", "b", "ä"]);
});

test("a folder that others may look into is not opened up, and a new one is private", async () => {
  const folder = join(folderOf(), "one", "two");
  await files.makeFolder(folder);
  assert.deepEqual([modeOf(folder), modeOf(join(folder, ".."))], [0o700, 0o700]);
  chmodSync(folder, 0o750);
  await files.makeFolder(folder);
  assert.equal(modeOf(folder), 0o750);
  await files.writeAtomically(join(folder, "x"), await collect(chunked("a", "b")));
  assert.equal(await files.readText(join(folder, "x")), "ab");
});

test("what is no ordinary file is never written over: a device would be gone for the whole host", async () => {
  const folder = temporaryFolder("device");
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  mkdirSync(join(folder, "inner"));
  for (const path of [pipe, join(folder, "inner")])
    await assert.rejects(files.writeAtomically(path, "text"), {
      code: "file-failed",
      message: /is not a regular file$/,
    });
  assert.ok(statSync(pipe).isFIFO());
});
