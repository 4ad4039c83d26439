import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MigrationError } from "../../../../src/errors.ts";
import { PeekableItems } from "../../../../src/homeserver/media/archive/items.ts";
import { ARCHIVE_SIZES, archiveEntries } from "../../../../src/homeserver/media/archive/write.ts";
import { storedSize } from "../../../../src/pipeline/compress.ts";
import { packTar, tarSize, unpackTar } from "../../../../src/pipeline/tar.ts";
import { breaksAfter, chunked, noise } from "../../../support/bytes.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { item, MADE, opened, ORIGIN, packed, sourceOf, uploadNamed } from "./uploads.ts";

const names = (bytes: Uint8Array) =>
  execFileSync("tar", ["-tf", "-"], { input: bytes, encoding: "utf8" }).trim().split("\n");

const HOSTILE = [
  "../../etc/passwd",
  "two\nlines",
  "x".repeat(300),
  "\u202egnp.exe",
  "\ud800 alone",
  '<&>\u2028"\\',
  "",
  null,
];

test("what people called their uploads, however hostile, comes back in the manifest and is nowhere else", async () => {
  const uploads = HOSTILE.map((name, index) =>
    item(uploadNamed(`hostile${index}`, { name }), noise(index * 100, index + 1)),
  );
  const [archive] = await packed(uploads);
  const { manifest, read, contents } = await opened(sourceOf(archive!.bytes));
  assert.deepEqual([read.records, read.wrong, read.missing, read.unknown], [HOSTILE.length, [], [], 0]);
  const byId = new Map([...manifest.byFile.values()].flat().map((record) => [record.media_id, record]));
  for (const [index, name] of HOSTILE.entries()) {
    assert.equal(byId.get(`hostile${index}`)!.name, name ?? "");
    assert.ok(contents.get(`hostile${index}`)!.equals(noise(index * 100, index + 1)));
  }
  for (const name of manifest.byFile.keys()) assert.match(name, /^\d+-hostile\d$/);
});

test("nothing is in the folder of an archive but its parts and, last, the manifest", async () => {
  const uploads = Array.from({ length: 7 }, (_, index) =>
    item(uploadNamed(`upload${index}`), noise(600, index + 1)),
  );
  const [archive, ...more] = await packed(uploads, { part: 1000 });
  assert.deepEqual(more, []);
  assert.deepEqual(names(archive!.bytes), [
    ...[1, 2, 3, 4].map((number) => `customer_media_export/export-part-${number}.tgz`),
    "customer_media_export/export-manifest.tgz",
  ]);
});

test("tar, gunzip and sha256sum alone can check an archive", async () => {
  const folder = temporaryFolder("by-hand");
  const uploads = Array.from({ length: 20 }, (_, index) =>
    item(uploadNamed(`upload${index}`), noise(index * 777, index + 1)),
  );
  const [archive] = await packed(uploads, { part: 30_000 });
  writeFileSync(join(folder, "archive.tar"), archive!.bytes);
  const shell = (script: string) =>
    execFileSync("bash", ["-euo", "pipefail", "-c", script], { cwd: folder, encoding: "utf8" });
  shell(
    "tar -xf archive.tar; cd customer_media_export; for part in export-*.tgz; do gunzip -t $part; gunzip -c $part | tar -xf -; done",
  );
  const { media } = JSON.parse(readFileSync(join(folder, "customer_media_export/manifest.json"), "utf8")) as {
    media: Record<string, { file_name: string; sha256: string; size_bytes: number }>;
  };
  assert.equal(Object.keys(media).length, 20);
  writeFileSync(
    join(folder, "customer_media_export/sums"),
    Object.values(media)
      .map(({ file_name: name, sha256 }) => `${sha256}  ${name}\n`)
      .join(""),
  );
  shell("cd customer_media_export; sha256sum --check --strict --quiet sums");
});

test("a manifest says what the importer checks: version, entity, keys, whole numbers, uploaders of this server", async () => {
  const [archive] = await packed([
    item(uploadNamed("known"), "known"),
    item(uploadNamed("elsewhere", { userId: "@nora:far.example" }), "e"),
    item(uploadNamed("likeness", { userId: `@nora:not${ORIGIN}` }), "l"),
    item(uploadNamed("nobody", { userId: null, contentType: null, createdTs: null }), "n"),
    item(uploadNamed("fraction", { createdTs: 1_690_000_000_000.5 }), "f"),
    item(
      uploadNamed("quarantined", {
        quarantinedBy: `@admin:${ORIGIN}`,
        safeFromQuarantine: true,
        authenticated: true,
        lastAccessTs: 1_699_000_000_000,
      }),
      "q",
    ),
  ]);
  const { manifest } = await opened(sourceOf(archive!.bytes));
  assert.deepEqual(
    [manifest.version, manifest.entity, manifest.createdTs, manifest.refused],
    [2, ORIGIN, MADE, []],
  );
  const byId = new Map([...manifest.byFile.values()].flat().map((record) => [record.media_id, record]));
  assert.deepEqual(byId.get("known"), {
    name: "a picture.png",
    file_name: "1-known",
    size_bytes: 5,
    content_type: "image/png",
    s3_url: "",
    sha256: createHash("sha256").update("known").digest("hex"),
    origin: ORIGIN,
    media_id: "known",
    created_ts: 1_690_000_000_123,
    uploader: `@nora:${ORIGIN}`,
  });
  assert.deepEqual(
    ["elsewhere", "likeness", "nobody"].map((id) => byId.get(id)!.uploader),
    ["", "", ""],
  );
  assert.deepEqual(
    [byId.get("nobody")!.created_ts, byId.get("fraction")!.created_ts],
    [0, 1_690_000_000_000],
  );
  assert.deepEqual(byId.get("quarantined")!.synlift, {
    quarantined_by: `@admin:${ORIGIN}`,
    safe_from_quarantine: true,
    authenticated: true,
    last_access_ts: 1_699_000_000_000,
  });
});

test("ids that differ in case alone, and ids of any length, have entries that no file system takes for the same", async () => {
  const ids = ["abcdefgh", "ABCDEFGH", "AbCdEfGh", "old.layout[1]:x", "y".repeat(255)];
  const [archive] = await packed(ids.map((id) => item(uploadNamed(id), id)));
  const { manifest, contents } = await opened(sourceOf(archive!.bytes));
  assert.equal(new Set([...manifest.byFile.keys()].map((name) => name.toLowerCase())).size, ids.length);
  for (const name of manifest.byFile.keys()) assert.ok(name.length <= 100, name);
  assert.deepEqual(
    ids.map((id) => contents.get(id)?.toString()),
    ids,
  );
});

test("a file that went, shrank, grew or cannot be read is named, and the archive is whole without it", async () => {
  const gone = async function* () {
    yield* [] as Uint8Array[];
    await Promise.resolve();
    throw new MigrationError("file-missing", "/store/gone does not exist");
  };
  const [archive] = await packed([
    item(uploadNamed("before"), noise(5000)),
    item(uploadNamed("gone"), "", { size: 70_000, content: gone }),
    item(uploadNamed("shrunk"), noise(100_000), { size: 100_001 }),
    item(uploadNamed("grown"), noise(100_001), { size: 100_000 }),
    item(uploadNamed("after"), noise(5000, 2)),
  ]);
  assert.deepEqual(archive!.unread, [
    ["gone", "/store/gone does not exist"],
    ["shrunk", "it ended after 100000 of 100001 bytes"],
    ["grown", "it has grown while it was read"],
  ]);
  const { read, contents } = await opened(sourceOf(archive!.bytes));
  assert.deepEqual([...contents.keys()], ["before", "after"]);
  assert.deepEqual([read.wrong, read.missing, read.unknown], [[], [], 3]);
});

test("what is wrong with more than one file ends the packing", async () => {
  await assert.rejects(
    packed([item(uploadNamed("any"), "", { size: 10, content: () => breaksAfter("x") })]),
    /the source broke/,
  );
});

test("one archive takes all that fits, the next the rest, each with a manifest of its own", async () => {
  const uploads = () =>
    Array.from({ length: 10 }, (_, index) => item(uploadNamed(`upload${index}`), noise(1000, index + 1)));
  for (const [sizes, expected] of [
    [{ archive: 10_000 }, [10]],
    [{ archive: 9_999 }, [9, 1]],
    [{ archive: 4_000, part: 1_500 }, [4, 4, 2]],
    [{ archive: 10 }, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
    [{ records: 4 }, [4, 4, 2]],
    [{ inPart: 3 }, [10]],
  ] as const) {
    const archives = await packed(uploads(), sizes);
    const found = await Promise.all(archives.map(({ bytes }) => opened(sourceOf(bytes))));
    assert.deepEqual(
      found.map(({ read }) => read.records),
      expected,
    );
    for (const { read } of found) assert.deepEqual([read.wrong, read.missing], [[], []]);
  }
});

test("an archive of nothing has an empty part and a manifest without media, as the importer's own has", async () => {
  const [archive] = await packed([]);
  assert.deepEqual(names(archive!.bytes), [
    "customer_media_export/export-part-1.tgz",
    "customer_media_export/export-manifest.tgz",
  ]);
  const { manifest, read } = await opened(sourceOf(archive!.bytes));
  assert.deepEqual([manifest.records, read.records], [0, 0]);
});

test("a file of more than 8 GiB has its whole length in its header, and so has the part around it", async () => {
  const size = 8 * 1024 ** 3 + 5;
  const large = item(uploadNamed("large"), "", { size, content: () => chunked(noise(1024)) });
  const plan = {
    head: { entity: ORIGIN, createdTs: MADE },
    folder: "customer_media_export",
    sizes: ARCHIVE_SIZES,
  };
  const events = { packed: () => Promise.resolve(), unread: () => undefined };
  const start: Uint8Array[] = [];
  for await (const chunk of packTar(archiveEntries(new PeekableItems([large]), plan, events))) {
    start.push(chunk);
    if (start.reduce((sum, { length }) => sum + length, 0) >= 4096) break;
  }
  // As GNU tar and Go write it: the highest bit, then a number (tar(5), "Numeric Extensions").
  const sizeAt = (bytes: Uint8Array, at: number) => Buffer.from(bytes).readUIntBE(at + 124 + 6, 6);
  const bytes = Buffer.concat(start);
  assert.equal(bytes[124], 0x80);
  assert.equal(sizeAt(bytes, 0), storedSize(tarSize([size])));
  // gzip's header and that of the first stored block.
  const inner = 512 + 10 + 5;
  assert.equal(bytes.toString("latin1", inner, inner + 7), "1-large");
  assert.equal(sizeAt(bytes, inner), size);
  for await (const entry of unpackTar(chunked(bytes.subarray(inner, inner + 2048)))) {
    assert.deepEqual([entry.name, entry.size], ["1-large", size]);
    break;
  }
});
