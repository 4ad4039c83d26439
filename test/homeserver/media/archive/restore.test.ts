import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { restoreMediaArchive } from "../../../../src/homeserver/media/archive/restore.ts";
import { archiveInFolder } from "../../../../src/homeserver/media/archive/source.ts";
import { unpackParts } from "../../../../src/homeserver/media/archive/unpack.ts";
import { uploadPath } from "../../../../src/homeserver/media/store/layout.ts";
import { packTar } from "../../../../src/pipeline/tar.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { chunked, noise } from "../../../support/bytes.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { filesBelow } from "../../../support/secrets.ts";
import { item, ORIGIN, packed, sourceOf, uploadNamed } from "./uploads.ts";

const vector = (name: string) =>
  archiveInFolder(
    fileURLToPath(new URL(`../../../vectors/media-archive/${name}/archive`, import.meta.url)),
    realFiles,
  );
const newStore = () => join(temporaryFolder("target"), "media");
const restored = (source: ReturnType<typeof vector>, store: string, serverName = ORIGIN) =>
  restoreMediaArchive(source, { store, serverName }, realFiles);

test("uploads of an archive lie where Synapse looks for them, with the time of their upload, and again nothing is written", async () => {
  const store = newStore();
  const ids: string[] = [];
  const again = () =>
    restoreMediaArchive(vector("go-v2"), { store, serverName: ORIGIN }, realFiles, ({ media_id: id }) => {
      ids.push(id);
      return Promise.resolve();
    });
  const first = await again();
  assert.deepEqual([first.written, first.kept], [5, 0]);
  const path = join(store, uploadPath("TkPoIuYtReWqAsDfGhJkLzXc")!);
  assert.equal(readFileSync(path).toString("hex"), "0011223344556677");
  assert.deepEqual([statSync(path).mtimeMs, statSync(path).mode & 0o777], [1_712_345_678_901, 0o640]);
  assert.deepEqual(
    first.findings.map(({ level }) => level),
    ["ok"],
  );
  const second = await again();
  assert.deepEqual([second.written, second.kept], [0, 5]);
  assert.equal(ids.length, 10);
});

test("what is wrong is not put in its place, is named, and what is whole is there all the same", async () => {
  for (const name of ["wrong-hash", "wrong-size"]) {
    const store = newStore();
    await assert.rejects(restored(vector(name), store), {
      code: "archive-damaged",
      message: /1 uploads .* differ from its manifest: mxc:\/\/example.org\/AAAA/,
      hint: /none of these was restored/,
    });
    assert.equal(filesBelow(store).length, 5);
    assert.equal(existsSync(join(store, uploadPath("A".repeat(24))!)), false);
  }
});

test("lost files, foreign records and those of another server are told, and nothing is written for them", async () => {
  for (const [name, count] of [
    ["file-missing", 5],
    ["key-of-another", 5],
    ["hash-of-no-kind", 5],
  ] as const) {
    const store = newStore();
    const { findings } = await restored(vector(name), store);
    assert.deepEqual(
      findings.map(({ id, level }) => `${level} ${id}`),
      ["ok media-archive", "warning media-archive-incomplete"],
    );
    assert.equal(filesBelow(store).length, count);
  }
  const store = newStore();
  const { written, findings } = await restored(vector("ours-v2"), store, "far.example");
  assert.equal(written, 0);
  assert.match(findings[1]!.sentence, /6 uploads are of another server/);
  assert.deepEqual(filesBelow(store), []);
});

test("URL previews that another exporter took for uploads are left out and named", async () => {
  const store = newStore();
  const preview = uploadNamed("2024-01-02_AbCdEfGhIjKlMnOp");
  const [archive] = await packed([item(preview, "a page"), item(uploadNamed("Upload"), "kept")]);
  const { written, findings } = await restored(sourceOf(archive!.bytes), store);
  assert.equal(written, 1);
  assert.deepEqual(
    findings.map(({ id, level }) => `${level} ${id}`),
    ["ok media-archive", "note media-url-previews"],
  );
  assert.deepEqual(findings[1]?.evidence, ["mxc://example.org/2024-01-02_AbCdEfGhIjKlMnOp"]);
});

test("an archive that does not open is found out before anything is written", async () => {
  const store = newStore();
  for (const name of ["no-manifest", "version-3", "manifest-no-json"])
    await assert.rejects(restored(vector(name), store), { code: "archive-damaged" });
  assert.equal(existsSync(store), false);
});

test("no id leads out of the store, and no link in it is followed", async () => {
  const outside = temporaryFolder("outside");
  const ids = ["../../../etc/passwd", "....//....//x", "ab/../../../../x", "abcd\0x", "\\..\\..\\xyzzy"];
  const [archive] = await packed(ids.map((id) => item(uploadNamed(id), "evil")));
  const store = newStore();
  const { written } = await restored(sourceOf(archive!.bytes), store);
  assert.equal(written, 0);
  assert.deepEqual(filesBelow(dirname(store)), []);
  mkdirSync(join(store, "local_content"), { recursive: true });
  symlinkSync(outside, join(store, "local_content/Go"));
  const [good] = await packed([item(uploadNamed("GoodGoodGood"), "good")]);
  await assert.rejects(restored(sourceOf(good!.bytes), store), { code: "target-not-empty" });
  assert.deepEqual(readdirSync(outside), []);
});

test("a file that is there and differs is never overwritten", async () => {
  const [archive] = await packed([item(uploadNamed("GoodGoodGood"), noise(100))]);
  const store = newStore();
  const path = join(store, uploadPath("GoodGoodGood")!);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, noise(100, 2));
  await assert.rejects(restored(sourceOf(archive!.bytes), store), {
    code: "target-not-empty",
    message: /already exists and differs from the file in the archive/,
  });
  assert.ok(readFileSync(path).equals(noise(100, 2)));
});

test("the parts of an archive are left as folders that its importer takes, and nothing else is", async () => {
  const target = { store: newStore() };
  const [archive] = await packed([item(uploadNamed("GoodGoodGood"), "good")]);
  await unpackParts(chunked(archive!.bytes), "customer_media_export", target, realFiles);
  const folder = join(target.store, "customer_media_export");
  assert.deepEqual(readdirSync(folder), ["export-manifest.tgz", "export-part-1.tgz"]);
  const { written } = await restored(archiveInFolder(folder, realFiles), newStore());
  assert.equal(written, 1);
  for (const name of ["customer_media_export/../../x", "customer_media_export/README", "/etc/passwd", "x"]) {
    const odd = packTar([{ name, size: 1, mode: 0o600, mtimeMs: 0, content: () => chunked("x") }]);
    await assert.rejects(unpackParts(odd, "customer_media_export", { store: newStore() }, realFiles), {
      code: "archive-damaged",
    });
  }
});
