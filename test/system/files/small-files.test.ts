import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import {
  readWhole,
  SMALL_FILE,
  SMALL_FILES,
  smallFileReader,
} from "../../../src/system/files/small-files.ts";
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

const LONG_AGO = new Date(1_000_000);

/** Reads a file of 1000 times "a" to its half, lets somebody `change` it, and reads the rest. */
function readAround(change: (path: string) => void) {
  const path = join(temporaryFolder("small"), "file");
  writeFileSync(path, "a".repeat(1000));
  utimesSync(path, LONG_AGO, LONG_AGO);
  untilClockMoves(path);
  const room = new Uint8Array(SMALL_FILE);
  const found = readWhole(path, room, (descriptor, into, size) => {
    const half = readSync(descriptor, into, 0, size / 2, null);
    change(path);
    return half + readSync(descriptor, into, half, size - half, null);
  });
  return typeof found === "string" ? found : Buffer.from(room.subarray(0, found.size)).toString();
}

/** Many kernels give files times of a clock that moves every few milliseconds. */
function untilClockMoves(path: string): void {
  const began = statSync(path).ctimeMs;
  do writeFileSync(`${path}.clock`, "");
  while (statSync(`${path}.clock`).ctimeMs === began);
}

const replacement = (path: string, content: string) => {
  writeFileSync(`${path}.new`, content);
  utimesSync(`${path}.new`, LONG_AGO, LONG_AGO);
  renameSync(`${path}.new`, path);
};

const CHANGES: Readonly<Record<string, (path: string) => void>> = {
  "is written over": (path) => {
    writeFileSync(path, "b".repeat(1000), { flag: "r+" });
  },
  "is written over and gets its old time again": (path) => {
    writeFileSync(path, "b".repeat(1000), { flag: "r+" });
    utimesSync(path, LONG_AGO, LONG_AGO);
  },
  grows: (path) => {
    appendFileSync(path, "more");
  },
  "grows and gets its old time again": (path) => {
    appendFileSync(path, "more");
    utimesSync(path, LONG_AGO, LONG_AGO);
  },
  "is cut short": (path) => {
    truncateSync(path, 700);
  },
  "is emptied, to be written anew": (path) => {
    truncateSync(path, 0);
  },
  "is replaced by a file of another size": (path) => {
    replacement(path, "another");
  },
  "is replaced by a file of the same size and time": (path) => {
    replacement(path, "b".repeat(1000));
  },
  "is replaced by a folder": (path) => {
    unlinkSync(path);
    mkdirSync(path);
  },
};

for (const [what, change] of Object.entries(CHANGES))
  test(`a file that ${what} while it is read does not count as read`, () => {
    assert.equal(readAround(change), "other");
  });

test("a file that goes while it is read, or that nobody touches, was read whole", () => {
  assert.equal(readAround(unlinkSync), "a".repeat(1000));
  assert.equal(
    readAround(() => undefined),
    "a".repeat(1000),
  );
});

test("a file of which fewer bytes come than it has does not count as read, though nothing else tells of it", () => {
  const path = join(temporaryFolder("small"), "file");
  writeFileSync(path, "a".repeat(1000));
  assert.equal(
    readWhole(path, new Uint8Array(SMALL_FILE), () => 999),
    "other",
  );
});
