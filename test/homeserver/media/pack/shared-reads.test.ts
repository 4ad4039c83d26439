import assert from "node:assert/strict";
import { test } from "node:test";
import { type MediaEntry, SharedReads } from "../../../../src/homeserver/media/pack/shared-reads.ts";
import { packTar, type TarEntry, unpackTar } from "../../../../src/pipeline/tar.ts";
import type { Bytes } from "../../../../src/pipeline/transform.ts";
import { BROKEN, chunked, collect, noise } from "../../../support/bytes.ts";

const upload = (number: number) => `local_content/aa/bb/upload${String(number).padStart(4, "0")}`;
const thumbnail = (number: number) => `local_thumbnails/aa/bb/upload${number}/32-32-image-png-crop`;
const bytesOf = (name: string) => noise(name.length * 1000, name.charCodeAt(name.length - 1));

class Reads {
  readonly of = new Map<string, number>();
  open(name: string): Bytes {
    this.of.set(name, (this.of.get(name) ?? 0) + 1);
    return chunked(bytesOf(name));
  }
}

async function* entriesOf(names: readonly string[], reads: Reads): AsyncIterable<TarEntry> {
  for (const name of names) {
    await Promise.resolve();
    yield { name, size: bytesOf(name).length, mode: 0o600, mtimeMs: 0, content: () => reads.open(name) };
  }
}

async function namesIn(archive: Bytes): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, content } of unpackTar(archive)) {
    assert.ok((await collect(content)).equals(bytesOf(name)), name);
    names.push(name);
  }
  return names;
}

async function both(backup: readonly string[], archive: readonly string[]): Promise<Reads> {
  const shared = new SharedReads();
  const reads = new Reads();
  const reading = async () => {
    for (const name of archive) {
      const bytes = await collect(shared.archive(name, () => reads.open(name)));
      assert.ok(bytes.equals(bytesOf(name)), name);
    }
    shared.leave("archive");
  };
  const [names] = await Promise.all([namesIn(packTar(shared.backup(entriesOf(backup, reads)))), reading()]);
  assert.deepEqual(names, backup);
  return reads;
}

const range = (count: number, every = 1) =>
  Array.from({ length: Math.ceil(count / every) }, (_, index) => upload(index * every));

test("a file that both want is read once", async () => {
  const backup = [...range(50), thumbnail(1), thumbnail(2)];
  const reads = await both(backup, range(50));
  assert.deepEqual(
    [...reads.of.values()],
    backup.map(() => 1),
  );
});

test("what only one wants it reads alone, and neither waits for ever", async () => {
  for (const [backup, archive] of [
    [range(30), range(30, 3)],
    [range(30, 3), range(30)],
    [range(30, 2), range(30, 3)],
    [[], range(5)],
    [range(5), []],
    [[thumbnail(1)], range(5)],
    [["local_content/odd", ...range(5), thumbnail(1)], range(9)],
    [[upload(3), thumbnail(1), upload(1), upload(2), thumbnail(2)], range(5)],
  ] as [string[], string[]][]) {
    const reads = await both(backup, archive);
    const shared = backup.filter((name) => archive.includes(name) && backup.length !== 5);
    for (const name of shared) assert.equal(reads.of.get(name), 1, name);
  }
});

test("who is ahead waits at the next file that the other may want", async () => {
  const shared = new SharedReads();
  const reads = new Reads();
  const backup = namesIn(packTar(shared.backup(entriesOf(range(10), reads))));
  await collect(shared.archive(upload(4), () => reads.open(upload(4))));
  await new Promise((resolve) => setTimeout(resolve, 20));
  // It asks for the bytes of the next one, and takes none.
  assert.deepEqual([...reads.of.keys()], range(6));
  shared.leave("archive");
  await backup;
  assert.equal(reads.of.size, 10);
});

test("what could not be read to its end is a failure for who reads along, and the other has its bytes", async () => {
  const shared = new SharedReads();
  const content = noise(3000);
  const entry = { name: upload(1), size: 3000, mode: 0o600, mtimeMs: 0, content: () => chunked(content) };
  const entries = async function* () {
    yield await Promise.resolve({ ...entry, fault: () => "it broke off" });
    yield { ...entry, name: upload(2) };
  };
  const alongside = async () => {
    await assert.rejects(collect(shared.archive(upload(1), () => chunked())), { message: "it broke off" });
    assert.ok((await collect(shared.archive(upload(2), () => chunked()))).equals(content));
    shared.leave("archive");
  };
  const packed = async () => {
    for await (const packedEntry of shared.backup(entries()))
      assert.ok((await collect(packedEntry.content())).equals(content));
  };
  await Promise.all([alongside(), packed()]);
});

/** Entries in memory, each of which counts who holds it. */
async function* wholeEntriesOf(
  names: readonly string[],
  held: Map<string, number>,
): AsyncIterable<MediaEntry> {
  for (const name of names) {
    await Promise.resolve();
    const content = bytesOf(name);
    const add = (users: number) => held.set(name, (held.get(name) ?? 0) + users);
    yield {
      ...{ name, size: content.length, mode: 0o600, mtimeMs: 5 },
      content: () => chunked(content),
      whole: () => content,
      share() {
        add(1);
        return { size: content.length, mtimeMs: 5, content, sha256: "its hash", release: () => void add(-1) };
      },
    };
  }
}

test("small files wait in memory for the archive, which may be behind or skip some, and each is let go", async () => {
  for (const wanted of [range(200), range(200, 7), [], [upload(500)], ["local_content/zz/zz/none"]]) {
    const shared = new SharedReads();
    const held = new Map<string, number>();
    const backup = [...range(200), thumbnail(1)];
    const taken: string[] = [];
    const along = async () => {
      for (const name of wanted) {
        const found = await shared.takeWhole(name);
        if (!found) continue;
        assert.ok(bytesOf(name).equals(found.content));
        taken.push(name);
        found.release();
      }
      shared.leave("archive");
    };
    const packed = namesIn(packTar(shared.backup(wholeEntriesOf(backup, held))));
    const [names] = await Promise.all([packed, along()]);
    assert.deepEqual(names, backup);
    assert.deepEqual(
      taken,
      wanted.filter((name) => backup.includes(name)),
    );
    assert.ok([...held.values()].every((users) => users === 0));
  }
});

test("a backup of small files waits when it is a megabyte ahead", async () => {
  const shared = new SharedReads();
  const held = new Map<string, number>();
  const backup = namesIn(packTar(shared.backup(wholeEntriesOf(range(200), held))));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const ahead = held.size;
  assert.ok(ahead > 10 && ahead < 60, String(ahead));
  shared.leave("archive");
  await backup;
});

test("when one fails the other fails with the same error", async () => {
  const shared = new SharedReads();
  const reads = new Reads();
  const backup = namesIn(packTar(shared.backup(entriesOf(range(10), reads))));
  const failed = assert.rejects(backup, new Error(BROKEN));
  await collect(shared.archive(upload(1), () => reads.open(upload(1))));
  shared.fail(new Error(BROKEN));
  await failed;
  await assert.rejects(collect(shared.archive(upload(9), () => reads.open(upload(9)))), new Error(BROKEN));
});
