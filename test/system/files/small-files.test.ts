import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { SMALL_FILE, SMALL_FILES, smallFileReader } from "../../../src/system/files/small-files.ts";
import { noise } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

function readerOf(t: TestContext, folder: string) {
  const reader = smallFileReader(folder);
  t.after(() => {
    reader.close();
  });
  return reader;
}

test("small files come with their content, its hash, and what was true of them", async (t) => {
  const folder = temporaryFolder("small");
  mkdirSync(join(folder, "in", "folders"), { recursive: true });
  const contents = [noise(0), noise(1), noise(1024), noise(SMALL_FILE), Buffer.from("ünï")];
  const names = contents.map((_, index) => `in/folders/fïle ${index}`);
  for (const [index, content] of contents.entries()) {
    writeFileSync(join(folder, names[index]!), content);
    chmodSync(join(folder, names[index]!), 0o640);
    utimesSync(join(folder, names[index]!), 1000, 1000.5);
  }
  const { files } = await readerOf(t, folder).read(names);
  for (const [index, { outcome, size, mode, mtimeMs, content, sha256: hash }] of files.entries()) {
    const expected = contents[index]!;
    assert.deepEqual([outcome, size, mode, mtimeMs], ["read", expected.length, 0o640, 1_000_500]);
    assert.ok(expected.equals(content));
    assert.equal(hash, sha256(expected));
  }
});

test("what is not there, is no file, is large or cannot be read is told apart, and the others are read", async (t) => {
  const folder = temporaryFolder("small");
  writeFileSync(join(folder, "fine"), "fine");
  writeFileSync(join(folder, "large"), noise(SMALL_FILE + 1));
  mkdirSync(join(folder, "folder"));
  symlinkSync("fine", join(folder, "link"));
  execFileSync("mkfifo", [join(folder, "pipe")]);
  const names = ["fine", "none", "fine/none", "large", "folder", "link", "pipe", "x".repeat(300), "fine"];
  const { files } = await readerOf(t, folder).read(names);
  assert.deepEqual(
    files.map(({ outcome }) => outcome),
    ["read", "gone", "gone", "other", "gone", "gone", "gone", "other", "read"],
  );
  assert.deepEqual(
    files.map(({ size }) => size),
    [4, 0, 0, 0, 0, 0, 0, 0, 4],
  );
});

test("what does not fit in one answer is left to be streamed", async (t) => {
  const folder = temporaryFolder("small");
  writeFileSync(join(folder, "file"), noise(SMALL_FILE));
  const fits = SMALL_FILES / SMALL_FILE;
  const { files } = await readerOf(t, folder).read(Array<string>(fits + 2).fill("file"));
  assert.deepEqual(
    files.map(({ outcome }) => outcome),
    [...Array<string>(fits).fill("read"), "other", "other"],
  );
});

test("several requests are answered in turn, and memory that was released is used again", async (t) => {
  const folder = temporaryFolder("small");
  for (const name of ["a", "b", "c"]) writeFileSync(join(folder, name), name.repeat(3));
  const reader = readerOf(t, folder);
  const [first, second] = await Promise.all([reader.read(["a"]), reader.read(["b"])]);
  assert.equal(Buffer.from(first.files[0]!.content).toString(), "aaa");
  assert.equal(Buffer.from(second.files[0]!.content).toString(), "bbb");
  second.release();
  const third = await reader.read(["c"]);
  assert.equal(Buffer.from(third.files[0]!.content).toString(), "ccc");
  assert.equal(Buffer.from(first.files[0]!.content).toString(), "aaa");
  assert.deepEqual((await reader.read([])).files, []);
});

test("who still waits when it is closed is told so", async () => {
  const reader = smallFileReader(temporaryFolder("small"));
  const waiting = reader.read(["file"]);
  reader.close();
  await assert.rejects(waiting, /was closed/);
  await assert.rejects(reader.read(["file"]), /was closed/);
});
