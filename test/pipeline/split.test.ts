import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { concatenate, partSuffix, splitInto } from "../../src/pipeline/split.ts";
import { breaksAfter, BROKEN, chunked, collect, cut, noise } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { smallDisk } from "../support/small-disk.ts";

/** What `splitInto` makes of a source, kept in memory. */
async function partsOf(source: AsyncIterable<Uint8Array>, size: number | undefined): Promise<Buffer[]> {
  const finished: Buffer[] = [];
  await splitInto(source, size, (index) => {
    const chunks: Uint8Array[] = [];
    assert.equal(index, finished.length, "a part is begun only when the one before is finished");
    return Promise.resolve({
      write: (chunk) => Promise.resolve(void chunks.push(Buffer.from(chunk))),
      finish: () => Promise.resolve(void finished.push(Buffer.concat(chunks))),
    });
  });
  return finished;
}

test("parts are named as GNU split names them, for thousands of parts and past its wider names", async (t) => {
  // In memory: it is a great many files.
  const folder = await smallDisk(t, "128m");
  const count = 18_000; // 25 * 26 two-letter names, 25 * 26² three-letter ones, and then some.
  execFileSync("split", ["-b", "1", "-", "NAME.part-"], {
    cwd: folder,
    input: Buffer.alloc(count),
    stdio: ["pipe", "ignore", "inherit"],
  });
  const theirs = readdirSync(folder).sort();
  const ours = Array.from({ length: count }, (_, index) => `NAME.part-${partSuffix(index)}`);
  assert.equal(theirs.length, count);
  assert.deepEqual(ours, theirs, "same names, and in the order in which a shell lists them");
});

test("names stay different and in order however many parts there are", () => {
  fc.assert(
    fc.property(fc.nat(50_000_000), fc.nat(50_000_000), (one, other) => {
      assert.equal(
        Math.sign(one - other),
        partSuffix(one) < partSuffix(other) ? -1 : partSuffix(one) > partSuffix(other) ? 1 : 0,
      );
    }),
  );
});

test("the same parts come out as out of split itself", async () => {
  const bytes = noise(10_007);
  for (const size of [1000, 10_006, 10_007, 10_008]) {
    const folder = temporaryFolder("split");
    execFileSync("split", ["-b", `${size}`, "-", "x"], { cwd: folder, input: bytes });
    const theirs = readdirSync(folder)
      .sort()
      .map((name) => readFileSync(join(folder, name)));
    assert.deepEqual(await partsOf(cut(bytes, 333), size), theirs, `parts of ${size}`);
  }
});

test("no part is empty but that of nothing", async () => {
  const size = 100;
  for (const [length, sizes] of [
    [0, [0]],
    [1, [1]],
    [99, [99]],
    [100, [100]],
    [101, [100, 1]],
    [200, [100, 100]],
    [201, [100, 100, 1]],
  ] as const) {
    for (const chunk of [1, 7, 100, 1000]) {
      const parts = await partsOf(cut(noise(length), chunk), size);
      assert.deepEqual(
        parts.map((part) => part.length),
        sizes,
        `${length} bytes in chunks of ${chunk}`,
      );
    }
  }
});

test("what is split and joined again is what it was, however it was cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 10 }),
      fc.integer({ min: 1, max: 50 }),
      async (chunks, size) => {
        const parts = await partsOf(chunked(...chunks), size);
        assert.deepEqual(
          await collect(concatenate(parts.map((part) => chunked(part)))),
          Buffer.concat(chunks),
        );
        assert.ok(parts.slice(0, -1).every((part) => part.length === size));
      },
    ),
  );
});

test("without a size everything is one part", async () => {
  assert.equal((await partsOf(cut(noise(5000), 11), undefined)).length, 1);
});

test("when the source breaks the part being written is not finished", async () => {
  const finished: number[] = [];
  const written = splitInto(breaksAfter(noise(250)), 100, (index) =>
    Promise.resolve({
      write: () => Promise.resolve(),
      finish: () => Promise.resolve(void finished.push(index)),
    }),
  );
  await assert.rejects(written, new Error(BROKEN));
  assert.deepEqual(finished, [0, 1]);
});
