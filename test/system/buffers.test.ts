import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { blocks, compress, decompress } from "../../src/pipeline/compress.ts";
import { Tee } from "../../src/pipeline/tee.ts";
import { type Bytes, compose, releaseAfterUse } from "../../src/pipeline/transform.ts";
import { allocateBuffer, releaseBuffer, retainBuffer, shareBuffer } from "../../src/system/buffers.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { collect, noise } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";

test("what was lent and is given back has no bytes any more; what is held or anybody's stays", () => {
  const lent = allocateBuffer(1000);
  releaseBuffer(lent.subarray(10));
  releaseBuffer(lent);
  assert.equal(lent.length, 0);
  const held = retainBuffer(allocateBuffer(1000));
  releaseBuffer(held);
  const anybodys = Buffer.from("anybody's");
  releaseBuffer(anybodys);
  assert.deepEqual([held.length, anybodys.toString()], [1000, "anybody's"]);
});

test("what two share is freed when both have given it back, each once, and not what they cut from it", () => {
  const [one, other] = shareBuffer(allocateBuffer(1000));
  releaseBuffer(one);
  releaseBuffer(one);
  releaseBuffer(one.subarray(1));
  assert.deepEqual([one.length, other.length], [1000, 1000]);
  releaseBuffer(other.subarray());
  assert.equal(other.length, 1000);
  releaseBuffer(other);
  assert.deepEqual([one.length, other.length], [0, 0]);
});

const MIB = 1024 * 1024;
const SIZES = [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, MIB + 64 * 1024, 3 * MIB + 5];

function fileOf(size: number): string {
  const path = join(temporaryFolder("memory"), "file");
  writeFileSync(path, noise(size));
  return path;
}

/** Passes on, and remembers what it saw: more than is allowed. */
const keeping = (kept: Uint8Array[]) =>
  async function* (source: Bytes): Bytes {
    for await (const chunk of source) {
      kept.push(chunk);
      yield chunk;
    }
  };

test("a file goes through gzip bit for bit while its memory is given back, whatever its size", async () => {
  for (const size of SIZES) {
    const path = fileOf(size);
    const kept: Uint8Array[] = [];
    const packing = compose(keeping(kept), compress(0, 1), keeping(kept));
    const packed: Buffer[] = [];
    for await (const chunk of releaseAfterUse(packing(realFiles.read(path)))) packed.push(Buffer.from(chunk));
    const back = await collect(decompress(bytesOf(packed)));
    assert.ok(back.equals(noise(size)), `${size} bytes`);
    const left = kept.slice(0, -1).filter(({ length }) => length >= 64 * 1024);
    assert.equal(left.length, 0, "all but the last, which is made anew, was freed");
  }
});

const bytesOf = async function* (chunks: readonly Uint8Array[]): Bytes {
  await Promise.resolve();
  yield* chunks;
};

test("what a program prints goes through gzip, in members and in blocks, while its memory is given back", async () => {
  for (const size of SIZES) {
    const cat = programsWith().pipe({ name: "cat", args: [fileOf(size)] });
    const packed: Buffer[] = [];
    for await (const chunk of releaseAfterUse(compress(1, 2)(cat))) packed.push(Buffer.from(chunk));
    assert.ok((await collect(decompress(bytesOf(packed)))).equals(noise(size)), `${size} bytes`);
    const cut: Buffer[] = [];
    for await (const block of releaseAfterUse(blocks(releaseAfterUse(cat), 100_000)))
      cut.push(Buffer.from(block));
    assert.ok(Buffer.concat(cut).equals(noise(size)));
    assert.deepEqual(
      cut.slice(0, -1).filter(({ length }) => length !== 100_000),
      [],
    );
  }
});

test("two who read one file each get all of it, though one gives back", async () => {
  for (const size of SIZES) {
    const fork = new Tee(realFiles.read(fileOf(size)));
    const slow = async () => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of fork.read(1)) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    };
    const quick = collect(compress(0, 1)(fork.read(0)));
    const [mine, packed] = await Promise.all([slow(), quick]);
    assert.ok(mine.equals(noise(size)), `${size} bytes`);
    assert.ok((await collect(decompress(bytesOf([packed])))).equals(noise(size)));
  }
});

test("with reuse a chunk is gone with the next, and its bytes are right until then", async () => {
  for (const size of SIZES) {
    const seen: Uint8Array[] = [];
    const copies: Buffer[] = [];
    for await (const chunk of realFiles.read(fileOf(size), { reuse: true })) {
      copies.push(Buffer.from(chunk));
      seen.push(chunk);
    }
    assert.ok(Buffer.concat(copies).equals(noise(size)));
    assert.equal(seen.filter(({ length }) => length > 0).length, 0);
  }
});
