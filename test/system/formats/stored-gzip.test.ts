import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { compress } from "../../../src/pipeline/compress.ts";
import { StoredGzip } from "../../../src/system/formats/stored-gzip.ts";
import { chunked, collect, flipped, noise } from "../../support/bytes.ts";

/** What the reader makes of a file that it is given in pieces of so many bytes. */
function read(file: Uint8Array, step: number): Buffer {
  const content: Buffer[] = [];
  const reader = new StoredGzip((piece) => content.push(Buffer.from(piece)));
  for (let at = 0; at < file.length; at += step) reader.add(file.subarray(at, at + step));
  reader.end();
  return Buffer.concat(content);
}

const stored = async (size: number) => await collect(compress(0, 1)(chunked(noise(size))));

test("what was stored comes out as it was, however it is cut, and so does zlib's own", async () => {
  for (const size of [0, 1, 65_535, 65_536, 16 * 65_535, 1_500_000]) {
    for (const file of [await stored(size), gzipSync(noise(size), { level: 0 })]) {
      for (const step of [1, 7, 100_000, file.length].filter((one) => one > 1 || size < 70_000))
        assert.ok(read(file, step).equals(noise(size)), `${size} bytes in steps of ${step}`);
    }
  }
});

test("members one after another are one file, and an empty file is none", async () => {
  const two = Buffer.concat([await stored(100), await stored(70_000)]);
  assert.ok(read(two, 1000).equals(Buffer.concat([noise(100), noise(70_000)])));
  assert.throws(() => read(Buffer.alloc(0), 1), { code: "Z_BUF_ERROR" });
});

test("a file that is cut off anywhere is found out", async () => {
  const file = await stored(300);
  for (let length = 0; length < file.length; length += 1)
    assert.throws(() => read(file.subarray(0, length), 64), { code: "Z_BUF_ERROR" }, `${length} bytes`);
});

test("a bit that is not as it was is found out, wherever it makes a difference", async () => {
  const file = await stored(300);
  // RFC 1952, 2.3: time, extra flags and system stand for nothing in the content.
  for (let at = 0; at < file.length; at += at === 3 ? 7 : 1)
    assert.throws(() => read(flipped(file, at), 64), { code: /^Z_/ }, `byte ${at}`);
});

test("a file with something compressed in it, or with something after it, is none of ours", async () => {
  assert.throws(() => read(gzipSync("a".repeat(1000)), 64), { code: "Z_DATA_ERROR" });
  assert.throws(() => read(Buffer.concat([Buffer.from("PK"), noise(100)]), 64), { code: "Z_DATA_ERROR" });
  const more = Buffer.concat([await stored(10), Buffer.from("and more")]);
  assert.throws(() => read(more, 64), { code: "Z_BUF_ERROR" });
});
