import assert from "node:assert/strict";
import { test } from "node:test";
import { Tee } from "../../src/pipeline/tee.ts";
import type { Bytes } from "../../src/pipeline/transform.ts";
import { breaksAfter, BROKEN, chunked, collect } from "../support/bytes.ts";

/** Counts what was taken from it, and knows whether it was let go. */
function watched(count: number) {
  const seen: { given: number; closed: boolean } = { given: 0, closed: false };
  const source = async function* (): Bytes {
    try {
      for (let index = 0; index < count; index++) {
        await Promise.resolve();
        seen.given += 1;
        yield Uint8Array.of(index % 256);
      }
    } finally {
      seen.closed = true;
    }
  };
  return { seen, source: source() };
}

const turns = () => new Promise((resolve) => setTimeout(resolve, 5));

test("both get all of it, and it is read once", async () => {
  const { seen, source } = watched(1000);
  const fork = new Tee(source);
  const [one, other] = await Promise.all([collect(fork.read(0)), collect(fork.read(1))]);
  assert.equal(one.length, 1000);
  assert.ok(one.equals(other));
  assert.deepEqual(seen, { given: 1000, closed: true });
  for (const reader of [new Tee(chunked()), new Tee(chunked("x"))]) {
    const both = await Promise.all([collect(reader.read(0)), collect(reader.read(1))]);
    assert.ok(both[0].equals(both[1]));
  }
});

test("nothing is read before both have begun, and who is quick waits for who is slow", async () => {
  const { seen, source } = watched(1000);
  const fork = new Tee(source);
  const quick = collect(fork.read(0));
  await turns();
  assert.deepEqual(seen, { given: 0, closed: false });
  const slow = fork.read(1)[Symbol.asyncIterator]();
  await slow.next();
  await turns();
  assert.ok(seen.given <= 4, `${seen.given} were read`);
  while ((await slow.next()).done !== true);
  assert.equal((await quick).length, 1000);
});

test("who leaves lets the other go on; when both have left the source is let go", async () => {
  for (const early of [true, false]) {
    const { seen, source } = watched(1000);
    const fork = new Tee(source);
    if (early) await fork.detach(1);
    const rest = collect(fork.read(0));
    if (!early) for await (const _ of fork.read(1)) break;
    assert.equal((await rest).length, 1000);
    assert.equal(seen.closed, true);
  }
  const { seen, source } = watched(1000);
  const fork = new Tee(source);
  const take = async (reader: 0 | 1) => {
    for await (const _ of fork.read(reader)) break;
  };
  await Promise.all([take(0), take(1)]);
  assert.equal(seen.closed, true);
  assert.ok(seen.given < 5);
});

test("a failure of the source is told to both", async () => {
  const fork = new Tee(breaksAfter("a", "b"));
  const results = await Promise.allSettled([collect(fork.read(0)), collect(fork.read(1))]);
  assert.deepEqual(
    results.map((result) => result.status === "rejected" && (result.reason as Error).message),
    [BROKEN, BROKEN],
  );
});
