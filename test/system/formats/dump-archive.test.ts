import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { canReadArchivesOf, DumpArchive } from "../../../src/system/formats/dump-archive.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { makeMiniSynapse } from "../../support/mini-synapse.ts";

// Archives that a real pg_dump made.

let cluster: PostgresCluster;
let archive: Buffer;

before(async () => {
  cluster = await PostgresCluster.start();
  await makeMiniSynapse(cluster, "old");
  archive = dumped("--compress=0");
});
after(() => cluster.stop());

function dumped(...args: string[]): Buffer {
  const { host, port } = cluster.address;
  const to = ["-h", host, "-p", String(port), "-U", "postgres", "-d", "old"];
  return execFileSync(join(cluster.programs, "pg_dump"), ["--format=custom", ...to, ...args], {
    maxBuffer: 64 * 1024 * 1024,
  });
}

function flawOf(bytes: Uint8Array, step = bytes.length): string | undefined {
  const looked = new DumpArchive();
  for (let at = 0; at < bytes.length; at += step) looked.add(bytes.subarray(at, at + step));
  return looked.findDefect();
}

test("what pg_dump writes is whole, however it was compressed and is cut", () => {
  for (const bytes of [archive, dumped("--compress=1"), dumped("--schema-only")])
    for (const step of [1, 2, 5, 6, 7, 1000, 65_536, bytes.length])
      assert.equal(flawOf(bytes, step), undefined, `${bytes.length} bytes, ${step} at a time`);
});

test("large objects are passed, too", async () => {
  await cluster.sql(
    "old",
    "select lo_from_bytea(0, convert_to(repeat('x', 100000), 'UTF8')) from generate_series(1, 3)",
  );
  try {
    const bytes = dumped("--compress=0");
    assert.ok(bytes.length > archive.length + 300_000);
    for (const step of [1, 4096, bytes.length]) assert.equal(flawOf(bytes, step), undefined);
    assert.match(flawOf(bytes.subarray(0, -150_000)) ?? "", /ends within/);
  } finally {
    await cluster.sql("old", "select lo_unlink(oid) from pg_largeobject_metadata");
  }
});

test("no beginning of one is whole, wherever it ends", () => {
  for (let length = 0; length < archive.length; length += length < 100 ? 1 : 97)
    assert.match(
      flawOf(archive.subarray(0, length), 5000) ?? "",
      /^it (ends|does not begin)/,
      `${length} bytes`,
    );
  assert.match(flawOf(archive.subarray(0, -1)) ?? "", /ends within a table's data/);
});

test("one that ends between two tables is found out: nothing else says that there were more", () => {
  // The last block is that of a table with two rows or none: its beginning is where only a block can begin.
  const ends: number[] = [];
  for (let length = archive.length - 1; length > archive.length - 2000; length -= 1)
    if (/before the data of [1-9]/.test(flawOf(archive.subarray(0, length)) ?? "")) ends.push(length);
  assert.ok(ends.length > 0, "there are such places");
  assert.match(flawOf(archive.subarray(0, ends[0])) ?? "", /before the data of 1 more table$/);
});

test("what is behind it, beside it or unknown is told", () => {
  assert.match(
    flawOf(Buffer.concat([archive, Buffer.from([1, 0, 1, 0, 0, 0])])) ?? "",
    /do not match its table of contents/,
  );
  assert.match(flawOf(Buffer.concat([archive, Buffer.from([0])])) ?? "", /ends within/);
  assert.match(flawOf(Buffer.from("--\n-- PostgreSQL database dump\n--\n")) ?? "", /does not begin as one/);
  const newer = Buffer.from(archive);
  newer[6] = 17;
  assert.equal(flawOf(newer), "its format version is 1.17, and only 1.12 to 1.16 are supported");
  const tar = Buffer.from(archive);
  tar[10] = 3;
  assert.match(flawOf(tar) ?? "", /does not begin as one/);
  assert.deepEqual([15, 18, 19].map(canReadArchivesOf), [true, true, false]);
});

test("a table of contents that does not end is not held for ever", () => {
  const endless = new DumpArchive();
  // Up to the name of the database, which is said to have two thousand million letters.
  endless.add(Buffer.concat([archive.subarray(0, 11 + 5 + 7 * 5), Buffer.from([0, 0, 0, 0, 0x7f])]));
  for (let added = 0; added < 130; added += 1) endless.add(new Uint8Array(1024 * 1024));
  assert.match(endless.findDefect() ?? "", /does not end/);
});
