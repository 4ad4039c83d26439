import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { blocks, compress, decompress } from "../../src/pipeline/compress.ts";
import { compose } from "../../src/pipeline/transform.ts";
import { breaksAfter, BROKEN, chunked, collect, cut, flipped, noise } from "../support/bytes.ts";

/** How many bytes go into one gzip member. */
const MEMBER = 1024 * 1024;
const thereAndBack = (level: number) => compose(compress(level, 2), decompress);
const DAMAGED = { code: "bundle-damaged", message: /^the compressed data is damaged/ };

test("what goes in comes back, however it was cut into chunks and whatever the level", async () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 70_000 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(chunks, fc.integer({ min: 0, max: 9 }), async (parts, level) => {
      assert.deepEqual(await collect(thereAndBack(level)(chunked(...parts))), Buffer.concat(parts));
    }),
    { numRuns: 40 },
  );
});

for (const size of [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 2 * MEMBER - 1, 2 * MEMBER, 2 * MEMBER + 1])
  test(`${size} bytes come back, and gunzip reads them too`, async () => {
    const bytes = noise(size);
    for (const [level, chunk] of [
      [0, 65_536],
      [1, MEMBER],
      [6, 333_333],
    ] as const) {
      const packed = await collect(compress(level, 2)(cut(bytes, chunk)));
      assert.ok(bytes.equals(await collect(decompress(cut(packed, 70_001)))), `level ${level}`);
      assert.ok(
        bytes.equals(execFileSync("gunzip", ["-c"], { input: packed, maxBuffer: 4 * MEMBER })),
        `gunzip, level ${level}`,
      );
      execFileSync("gzip", ["-t"], { input: packed });
    }
  });

test("members come out in order, though they are made side by side", async () => {
  // The first is slow to compress and the others quick.
  const bytes = Buffer.concat([noise(MEMBER), Buffer.alloc(5 * MEMBER, "a"), noise(MEMBER, 9)]);
  for (const cores of [1, 2, 8])
    assert.ok(bytes.equals(await collect(compose(compress(9, cores), decompress)(cut(bytes, 100_000)))));
});

test("a dump is made smaller, and media at level 0 is stored as it is", async () => {
  const text = Buffer.from("INSERT INTO events VALUES (1);\n".repeat(50_000));
  assert.ok((await collect(compress(1, 2)(chunked(text)))).length < text.length / 10);
  const media = noise(MEMBER);
  const stored = await collect(compress(0, 2)(chunked(media)));
  assert.ok(stored.length > media.length && stored.length < media.length * 1.001);
  assert.ok(stored.includes(media.subarray(1000, 30_000)), "stored, not deflated");
});

test("what is stored comes back around the edges of a block and of a group of blocks, however it is cut", async () => {
  for (const size of [65_534, 65_535, 65_536, 131_070, 16 * 65_535 - 1, 16 * 65_535, 16 * 65_535 + 1]) {
    const bytes = noise(size);
    for (const chunk of [777, 65_535, 65_536, size]) {
      const stored = await collect(compress(0, 2)(cut(bytes, chunk)));
      assert.ok(bytes.equals(gunzipSync(stored)), `${size} in chunks of ${chunk}`);
      const blockCount = Math.ceil(size / 65_535);
      assert.equal(stored.length, 10 + blockCount * 5 + size + 5 + 8, "no more than the frame is added");
    }
  }
  assert.equal((await collect(thereAndBack(0)(chunked("", "a", "", "b", "")))).toString(), "ab");
});

test("compressed data that was cut off is damaged, wherever it was cut", async () => {
  const packed = await collect(compress(6, 2)(cut(noise(2 * MEMBER + 5), 100_000)));
  for (const length of [
    1,
    5,
    17,
    1000,
    packed.length / 2,
    packed.length - 9,
    packed.length - 8,
    packed.length - 1,
  ])
    await assert.rejects(collect(decompress(cut(packed.subarray(0, length), 50_000))), DAMAGED, `${length}`);
});

test("nothing at all is no compressed data", async () => {
  await assert.rejects(collect(decompress(chunked())), DAMAGED);
});

test("a flipped bit in compressed data is found, whether in its head, its body or its checksum", async () => {
  const packed = await collect(compress(6, 2)(chunked(noise(100_000))));
  for (const at of [0, 2, 50_000, packed.length - 6, packed.length - 1])
    await assert.rejects(collect(decompress(chunked(flipped(packed, at)))), DAMAGED, `byte ${at}`);
  const stored = await collect(compress(0, 2)(chunked(noise(100_000))));
  await assert.rejects(collect(decompress(chunked(flipped(stored, 60_000)))), DAMAGED);
});

test("data that no gzip ever made is damaged", async () => {
  await assert.rejects(collect(decompress(chunked("this is a text"))), DAMAGED);
  const packed = gzipSync("well");
  await assert.rejects(collect(decompress(chunked(packed, "and something after it"))), DAMAGED);
});

test("a source that breaks breaks both ways, with its own error", async () => {
  await assert.rejects(collect(compress(1, 2)(breaksAfter(noise(3 * MEMBER)))), new Error(BROKEN));
  await assert.rejects(
    collect(decompress(breaksAfter(gzipSync(noise(100_000)).subarray(0, 5000)))),
    new Error(BROKEN),
  );
  await assert.rejects(collect(decompress(breaksAfter())), new Error(BROKEN));
  await assert.rejects(collect(thereAndBack(1)(breaksAfter("half a dump"))), new Error(BROKEN));
});

test("blocks are all of one size but the last, whatever comes in", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }),
      fc.integer({ min: 1, max: 40 }),
      async (chunks, size) => {
        const seen: Uint8Array[] = [];
        for await (const block of blocks(chunked(...chunks), size)) seen.push(block);
        assert.deepEqual(Buffer.concat(seen), Buffer.concat(chunks));
        assert.ok(seen.slice(0, -1).every((block) => block.length === size));
        assert.ok(seen.every((block) => block.length > 0 && block.length <= size));
      },
    ),
  );
});

test("gzip itself finds nothing to complain about, not even a trailing byte", async () => {
  const packed = await collect(compress(1, 2)(cut(noise(MEMBER + 1), 1000)));
  const { status, stderr } = spawnSync("gzip", ["-tv"], { input: packed, encoding: "utf8" });
  assert.equal(status, 0);
  assert.match(stderr, /OK/);
});
