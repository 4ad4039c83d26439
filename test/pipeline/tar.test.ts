import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import tar from "tar-stream";
import { encodeHeader } from "../../src/pipeline/tar-header.ts";
import { checkTarEnd, packTar, type TarEntry, unpackTar } from "../../src/pipeline/tar.ts";
import type { Bytes } from "../../src/pipeline/transform.ts";
import { breaksAfter, BROKEN, chunked, collect, cut, noise } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

const MTIME = 1_700_000_000_000;
const file = (name: string, content: Uint8Array | string, more: Partial<TarEntry> = {}): TarEntry => ({
  name,
  size: Buffer.byteLength(content),
  mode: 0o640,
  mtimeMs: MTIME,
  content: () => chunked(content),
  ...more,
});

/** Everything in an archive, read in order. */
async function contents(
  archive: Bytes,
): Promise<{ name: string; kind: string; mode: number; mtimeMs: number; content: Buffer }[]> {
  const found = [];
  for await (const { name, kind, mode, mtimeMs, content } of unpackTar(archive))
    found.push({ name, kind, mode, mtimeMs, content: await collect(content) });
  return found;
}

/** Runs tar itself in a folder. */
const gnuTar = (folder: string, args: readonly string[], input?: Uint8Array) =>
  execFileSync("tar", args, { cwd: folder, maxBuffer: 64 * 1024 * 1024, ...(input ? { input } : {}) });

const ODD: readonly (readonly [string, Buffer])[] = [
  ["plain", Buffer.from("text")],
  ["empty", Buffer.alloc(0)],
  ["folder/in/folder/" + "d".repeat(90) + "/" + "f".repeat(90), noise(511)],
  ["x".repeat(255), noise(512)],
  [Array.from({ length: 12 }, () => "long-folder-name-of-thirty-bytes").join("/") + "/end", noise(513)],
  ["ünïcödé/密码 🦊", noise(1024)],
  ["with\nnew line and \t tab", noise(1)],
  [" spaces ", noise(3)],
  ["-starts-with-a-dash", noise(20_000)],
  ["large", noise(300_000)],
];

test("files with every kind of name come back with content, mode and time", async () => {
  const archive = await collect(packTar(ODD.map(([name, content]) => file(name, content))));
  const found = await contents(chunked(archive));
  assert.deepEqual(
    found,
    ODD.map(([name, content]) => ({ name, kind: "file", mode: 0o640, mtimeMs: MTIME, content })),
  );
});

test("headers are, byte for byte, those of tar-stream, whatever the name and the size", async () => {
  const part = fc.stringMatching(/^[a-zé.-]{1,60}$/);
  const header = fc.record({
    name: fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join("/")),
    size: fc.oneof(fc.nat(5000), fc.integer({ min: 8 ** 11 - 3, max: 2 ** 50 })),
    mode: fc.integer({ min: 1, max: 0o777 }),
    mtimeMs: fc.nat(2 ** 31 - 1).map((seconds) => seconds * 1000),
  });
  await fc.assert(
    fc.asyncProperty(header, async (given) => {
      const pack = tar.pack();
      const { name, size, mode, mtimeMs } = given;
      pack.entry({ name, size, mode, mtime: new Date(mtimeMs), type: "file", uid: 0, gid: 0 });
      const theirs: Uint8Array[] = [];
      pack.on("data", (bytes) => theirs.push(bytes as Uint8Array));
      await new Promise((resolve) => setImmediate(resolve));
      pack.destroy();
      assert.deepEqual(encodeHeader(given), Buffer.concat(theirs));
    }),
  );
});

test("what is in memory is packed as what is read, and copied at once", async () => {
  const entries = ODD.map(([name, content]) => file(name, content));
  const reused = Buffer.alloc(400_000);
  const whole = ODD.map(([name, content]) =>
    file(name, content, {
      content: () => assert.fail("it is in memory"),
      whole() {
        reused.set(content);
        return reused.subarray(0, content.length);
      },
    }),
  );
  assert.deepEqual(await collect(packTar(whole)), await collect(packTar(entries)));
  const short = [file("short", "ab", { size: 3, whole: () => Buffer.from("ab") })];
  await assert.rejects(collect(packTar(short)), { code: "source-changed" });
});

test("an archive reads the same one byte at a time", async () => {
  const archive = await collect(packTar(ODD.slice(0, 7).map(([name, content]) => file(name, content))));
  assert.deepEqual(await contents(cut(archive, 1)), await contents(chunked(archive)));
});

test("what goes in comes back, however content and archive were cut", async () => {
  const entry = fc.record({
    name: fc.stringMatching(/^[a-zé ]{1,120}$/),
    chunks: fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { maxLength: 5 }),
      fc.integer({ min: 1, max: 2000 }),
      async (entries, size) => {
        const given = entries.map(({ name, chunks }) =>
          file(name, Buffer.concat(chunks), { content: () => chunked(...chunks) }),
        );
        const found = await contents(cut(await collect(packTar(given)), size));
        assert.deepEqual(
          found.map(({ name, content }) => [name, content]),
          entries.map(({ name, chunks }) => [name, Buffer.concat(chunks)]),
        );
      },
    ),
    { numRuns: 40 },
  );
});

test("GNU tar lists and unpacks what we pack", async () => {
  const folder = temporaryFolder("tar");
  const archive = await collect(packTar(ODD.map(([name, content]) => file(name, content))));
  const listed = gnuTar(folder, ["--quoting-style=literal", "-tf", "-"], archive).toString();
  assert.equal(listed, ODD.map(([name]) => `${name}\n`).join(""));
  gnuTar(folder, ["--no-same-owner", "-xpf", "-"], archive);
  for (const [name, content] of ODD) {
    assert.ok(content.equals(readFileSync(join(folder, name))), name);
    assert.equal(statSync(join(folder, name)).mode & 0o777, 0o640);
    assert.equal(statSync(join(folder, name)).mtimeMs, MTIME);
  }
});

test("an archive of nothing is one that GNU tar reads", async () => {
  const archive = await collect(packTar([]));
  assert.equal(gnuTar("/", ["-tf", "-"], archive).toString(), "");
  assert.deepEqual(await contents(chunked(archive)), []);
});

for (const format of ["gnu", "posix", "ustar"])
  test(`what GNU tar packs in its ${format} format is read`, async () => {
    const folder = temporaryFolder("tar");
    const files =
      format === "ustar"
        ? ODD.filter(([name]) => name.length < 100 && name.length === Buffer.byteLength(name))
        : ODD;
    for (const [name, content] of files) {
      mkdirSync(join(folder, name, ".."), { recursive: true });
      writeFileSync(join(folder, name), content, { mode: 0o600 });
      utimesSync(join(folder, name), MTIME / 1000, MTIME / 1000);
    }
    symlinkSync("plain", join(folder, "link"));
    const archive = gnuTar(folder, [`--format=${format}`, "-cf", "-", "--", ...readdirSync(folder)]);
    const found = await contents(cut(archive, 10_000));
    const byName = new Map(found.map((entry) => [entry.name, entry]));
    for (const [name, content] of files) {
      assert.equal(byName.get(name)?.kind, "file", name);
      assert.deepEqual(byName.get(name)?.content, content, name);
      assert.equal(byName.get(name)?.mtimeMs, MTIME);
    }
    assert.equal(byName.get("link")?.kind, "other");
    if (format !== "ustar") assert.equal(byName.get("folder/")?.kind, "folder");
  });

test("contents that nobody reads are skipped", async () => {
  const archive = await collect(packTar(ODD.map(([name, content]) => file(name, content))));
  const names: string[] = [];
  for await (const { name, content } of unpackTar(cut(archive, 5000))) {
    names.push(name);
    if (name === "plain") assert.equal((await collect(content)).toString(), "text");
  }
  assert.deepEqual(
    names,
    ODD.map(([name]) => name),
  );
});

test("a file that got shorter or longer while it was read stops the packing", async () => {
  for (const [size, content] of [
    [10, "nine here"],
    [8, "nine here"],
    [1, ""],
    [0, "x"],
    [100_000, noise(99_999)],
    [1000, noise(500_000)],
  ] as const) {
    const entries = [file("before", "fine"), file("log_in_use", content, { size }), file("after", "never")];
    await assert.rejects(collect(packTar(entries)), {
      code: "source-changed",
      message: `log_in_use changed while it was read: it had ${size} bytes`,
      hint: /run the same command again/,
    });
  }
});

test("a file that cannot be read stops the packing with its own error", async () => {
  const entries = [
    file("one", "x"),
    file("two", "", { size: 500_000, content: () => breaksAfter(noise(200_000)) }),
  ];
  await assert.rejects(collect(packTar(entries)), new Error(BROKEN));
  const listing = async function* () {
    await Promise.resolve();
    yield file("one", "x");
    throw new Error(BROKEN);
  };
  await assert.rejects(collect(packTar(listing())), new Error(BROKEN));
});

test("a reader that stops early lets go of the file that was being packed", async () => {
  let closed = false;
  const content = async function* (): Bytes {
    try {
      for (;;) yield* chunked(noise(100_000));
    } finally {
      closed = true;
    }
  };
  for await (const _ of packTar([file("endless", "", { size: 1e12, content })])) break;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(closed, true);
});

test("a reader may stop while the next bytes are still awaited", async () => {
  let give = () => {};
  const content = async function* (): Bytes {
    yield noise(100_000);
    await new Promise<void>((resolve) => (give = resolve));
    yield noise(100_000);
  };
  for await (const chunk of packTar([file("slow", "", { size: 1e12, content })])) {
    if (chunk.length > 512) setTimeout(give, 20);
    if (chunk.length > 512) break;
  }
});

test("an archive that was cut off is damaged, wherever it was cut", async () => {
  const archive = await collect(packTar([file("one", noise(5000)), file("two", noise(700))]));
  for (const length of [
    0,
    1,
    511,
    512,
    3000,
    512 + 5120,
    archive.length - 1025,
    archive.length - 1024,
    archive.length - 512,
    archive.length - 1,
  ]) {
    for (const size of [100, 100_000]) {
      const cutOff = archive.subarray(0, length);
      await assert.rejects(contents(cut(cutOff, size)), { code: "bundle-damaged" }, `${length} bytes read`);
      await assert.rejects(
        collect(checkTarEnd(cut(cutOff, size))),
        { code: "bundle-damaged" },
        `${length} bytes looked at`,
      );
    }
  }
  assert.deepEqual(await collect(checkTarEnd(cut(archive, 700))), archive);
});

test("a header that was damaged is found by its checksum", async () => {
  const archive = await collect(packTar([file("one", "1"), file("two", "2")]));
  archive[1024 + 3]! ^= 1;
  await assert.rejects(contents(chunked(archive)), {
    code: "bundle-damaged",
    message: /^the archive is damaged/,
  });
  await assert.rejects(contents(chunked("this is no archive".repeat(200))), { code: "bundle-damaged" });
});

test("a source that breaks while it is unpacked comes out with its own error", async () => {
  const archive = await collect(packTar([file("one", noise(50_000))]));
  await assert.rejects(contents(breaksAfter(archive.subarray(0, 20_000))), new Error(BROKEN));
  await assert.rejects(contents(breaksAfter(archive)), new Error(BROKEN));
});
