import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { filesNotListed, PackedList } from "../../../../src/homeserver/media/pack/packed-list.ts";
import { restoreArchives } from "../../../../src/homeserver/media/restore.ts";
import { keptFolders } from "../../../../src/homeserver/media/store/folders.ts";
import { walkStore } from "../../../../src/homeserver/media/store/store.ts";
import { packTar } from "../../../../src/pipeline/tar.ts";
import { realFiles as files } from "../../../../src/system/files/files.ts";
import { chunked } from "../../../support/bytes.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";

const key = Buffer.from("a salt of some bundle");

function put(store: string, name: string, content = "x"): void {
  const path = join(store, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  utimesSync(path, 1_700_000_000, 1_700_000_000);
}

async function listOf(store: string): Promise<string> {
  const list = new PackedList(key);
  for await (const file of walkStore(store, files)) list.add(file);
  const path = join(temporaryFolder("list"), "media-packed.txt");
  writeFileSync(path, list.take());
  return path;
}

async function since(store: string, path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of filesNotListed(walkStore(store, files), { path, key }, files))
    names.push(name);
  return names;
}

test("what came, and what changed, is what a list does not hold; what went is no matter", async () => {
  const store = temporaryFolder("store");
  // More folders than a walk needs for its threads, so that their order is held to account too.
  for (let index = 0; index < 400; index++) {
    const id = createHash("sha256").update(String(index)).digest("hex");
    put(store, `local_content/${id.slice(0, 2)}/${id.slice(2, 4)}/${id.slice(4)}`);
    put(store, `local_thumbnails/${id.slice(0, 2)}/${id.slice(2, 4)}/${id.slice(4)}/32-32-image-png-crop`);
  }
  put(store, "local_content/odd\nname");
  const path = await listOf(store);
  assert.deepEqual(await since(store, path), []);
  const [first] = await since(store, await listOf(temporaryFolder("empty")));
  rmSync(join(store, first!));
  assert.deepEqual(await since(store, path), []);

  put(store, "local_content/00/00/new");
  put(store, "local_content/zz/zz/new");
  put(store, "local_content/odd\nname", "longer than it was");
  put(store, "local_thumbnails/00/00/new/32-32-image-png-crop");
  assert.deepEqual(await since(store, path), [
    "local_content/00/00/new",
    "local_content/odd\nname",
    "local_content/zz/zz/new",
    "local_thumbnails/00/00/new/32-32-image-png-crop",
  ]);
});

test("the list tells nobody the ids of uploads", async () => {
  const store = temporaryFolder("store");
  put(store, "local_content/Ab/Cd/EfGhIjKlMnOp");
  const text = readFileSync(await listOf(store), "utf8");
  assert.doesNotMatch(text, /EfGh|Cd/);
});

test("of two archives the newer one counts where both have a file, however often they are unpacked", async () => {
  const entry = (name: string, text: string) => ({
    ...{ name, size: text.length, mode: 0o600, mtimeMs: 1_700_000_000_000 },
    content: () => chunked(Buffer.from(text)),
  });
  const store = join(temporaryFolder("target"), "media");
  const archives = () => [
    packTar([entry("local_content/aa/bb/half", "whole"), entry("local_content/aa/bb/new", "new")]),
    packTar([entry("local_content/aa/bb/half", "wh"), entry("local_content/aa/bb/old", "old")]),
  ];
  assert.deepEqual(await restoreArchives(archives(), { store }, files), { written: 3, kept: 0, bytes: 11 });
  assert.equal(readFileSync(join(store, "local_content/aa/bb/half"), "utf8"), "whole");
  assert.deepEqual(await restoreArchives(archives(), { store }, files), { written: 0, kept: 3, bytes: 11 });
});

test("a list that was made of files out of an archive knows them by their whole seconds", async () => {
  const store = temporaryFolder("store");
  put(store, "local_content/aa/aa/one");
  put(store, "local_content/aa/aa/other");
  const there = await listOf(store);
  utimesSync(join(store, "local_content/aa/aa/one"), 1_700_000_000.75, 1_700_000_000.75);
  utimesSync(join(store, "local_content/aa/aa/other"), 1_700_000_001, 1_700_000_001);
  const names: string[] = [];
  const list = { path: there, key, wholeSeconds: true };
  for await (const { name } of filesNotListed(walkStore(store, files), list, files)) names.push(name);
  assert.deepEqual(names, ["local_content/aa/aa/other"]);
});

test("media of other servers and previews are held against a list too, whatever their servers are called", async () => {
  const store = temporaryFolder("store");
  const folders = keptFolders({ remote: true, origins: [], previews: true });
  const names = [
    ...["local_content/aa/bb/one", "url_cache/2026-01-02/x", "url_cache_thumbnails/2026-01-02/x/32"],
    ...["remote_content/a-b.example/aa/bb/one", "remote_content/a.example/aa/bb/one"],
    ...[
      "remote_content/a/aa/bb/one",
      "remote_content/[::1]:8448/zz/bb/one",
      "remote_thumbnail/a/aa/bb/one/32",
    ],
  ];
  for (const name of names) put(store, name);
  const walk = () => walkStore(store, files, undefined, folders);
  const list = new PackedList(key);
  const walked: string[] = [];
  for await (const file of walk()) {
    walked.push(file.name);
    list.add(file);
  }
  assert.deepEqual(walked.toSorted(), names.toSorted());
  const path = join(temporaryFolder("list"), "media-packed.txt");
  writeFileSync(path, list.take());
  put(store, "remote_content/a.example/zz/bb/new");
  const rest: string[] = [];
  for await (const { name } of filesNotListed(walk(), { path, key }, files)) rest.push(name);
  assert.deepEqual(rest, ["remote_content/a.example/zz/bb/new"]);
});
