import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { restoreMedia } from "../../../src/homeserver/media/restore.ts";
import { packTar } from "../../../src/pipeline/tar.ts";
import type { Bytes } from "../../../src/pipeline/transform.ts";
import { type Files, realFiles as files } from "../../../src/system/files/files.ts";
import { breaksAfter, BROKEN, chunked, collect, cut, noise } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

const MTIME = 1_700_000_000_000;
const UPLOADS: Readonly<Record<string, Uint8Array>> = {
  "local_content/AA/aa/first": noise(70_000, 1),
  "local_content/BB/bb/second": noise(10, 2),
  "local_thumbnails/AA/aa/first/32-32-image-png-crop": Buffer.alloc(0),
};

const archived = (contents: Readonly<Record<string, Uint8Array | string>>): Bytes =>
  packTar(
    Object.entries(contents).map(([name, content]) => ({
      name,
      size: Buffer.byteLength(content),
      mode: 0o777,
      mtimeMs: MTIME,
      content: () => chunked(content),
    })),
  );

const newStore = () => join(temporaryFolder("media"), "media_store");
const restored = (archive: Bytes, store: string) => restoreMedia(archive, { store }, files);
const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !statSync(join(folder, name)).isDirectory())
    .sort();

test("uploads come back byte for byte, with their time, for our eyes and our group's only", async () => {
  const store = newStore();
  assert.deepEqual(await restored(archived(UPLOADS), store), { written: 3, kept: 0, bytes: 70_010 });
  for (const [name, content] of Object.entries(UPLOADS)) {
    assert.ok(Buffer.from(content).equals(readFileSync(join(store, name))), name);
    const { mode, mtimeMs } = statSync(join(store, name));
    assert.deepEqual([mode & 0o777, mtimeMs], [0o640, MTIME]);
  }
  assert.equal(statSync(join(store, "local_content/AA")).mode & 0o777, 0o700);
  assert.deepEqual(filesIn(store), Object.keys(UPLOADS));
});

test("a second run keeps what is there and writes only what is missing", async () => {
  const store = newStore();
  await restored(archived(UPLOADS), store);
  const untouched = statSync(join(store, "local_content/AA/aa/first")).ctimeMs;
  rmSync(join(store, "local_content/BB/bb/second"));
  assert.deepEqual(await restored(archived(UPLOADS), store), { written: 1, kept: 2, bytes: 70_010 });
  assert.equal(statSync(join(store, "local_content/AA/aa/first")).ctimeMs, untouched);
  assert.deepEqual(await restored(archived(UPLOADS), store), { written: 0, kept: 3, bytes: 70_010 });
});

test("a run that broke off leaves no half file under a name of its own, and the next finishes", async () => {
  const store = newStore();
  const archive = await collect(archived(UPLOADS));
  await assert.rejects(restored(breaksAfter(archive.subarray(0, 40_000)), store), new Error(BROKEN));
  assert.deepEqual(filesIn(store), []);
  await assert.rejects(restored(cut(archive.subarray(0, 40_000), 1000), store), { code: "bundle-damaged" });
  assert.deepEqual(filesIn(store), []);
  writeFileSync(join(store, "local_content/AA/aa/.first.unfinished"), "left by a killed run");
  assert.equal((await restored(cut(archive, 999), store)).written, 3);
  assert.deepEqual(filesIn(store), Object.keys(UPLOADS));
});

test("a file that is there already and differs is never overwritten", async () => {
  for (const other of ["short", noise(70_000, 9), ""]) {
    const store = newStore();
    mkdirSync(join(store, "local_content/AA/aa"), { recursive: true });
    writeFileSync(join(store, "local_content/AA/aa/first"), other);
    await assert.rejects(restored(archived(UPLOADS), store), {
      code: "target-not-empty",
      message: /first already exists and differs from the file in the bundle/,
      hint: /empty media folder/,
    });
    assert.ok(Buffer.from(other).equals(readFileSync(join(store, "local_content/AA/aa/first"))));
  }
});

test("a name that leads out of the store, or is no local media, is refused and nothing is written for it", async () => {
  for (const name of [
    "../x",
    "local_content/../../x",
    "local_content/./x",
    "local_content//x",
    "/etc/synlift-test",
    "x",
    "local_content",
    "remote_content/far.example/x",
    "url_cache/x",
    "local_contents/x",
    "local_content/a\\..\\x",
  ]) {
    const store = newStore();
    await assert.rejects(
      restored(archived({ [name]: "evil" }), store),
      { code: "bundle-damaged", message: /is not local media/ },
      name,
    );
    assert.deepEqual(filesIn(join(store, "..")), [], name);
  }
});

test("links, pipes and devices in an archive are refused", async () => {
  const folder = temporaryFolder("odd");
  mkdirSync(join(folder, "local_content"));
  writeFileSync(join(folder, "local_content/file"), "x");
  symlinkSync("/etc", join(folder, "local_content/soft"));
  execFileSync("ln", ["local_content/file", "local_content/hard"], { cwd: folder });
  execFileSync("mkfifo", ["local_content/pipe"], { cwd: folder });
  for (const names of [["soft"], ["file", "hard"], ["pipe"]]) {
    const store = newStore();
    const archive = execFileSync("tar", ["-cf", "-", ...names.map((name) => `local_content/${name}`)], {
      cwd: folder,
    });
    await assert.rejects(restored(chunked(archive), store), {
      code: "bundle-damaged",
      message: new RegExp(`local_content/${names.at(-1)!}"`),
    });
  }
});

test("folders as GNU tar packs them are fine, and made private", async () => {
  const folder = temporaryFolder("packed-by-hand");
  mkdirSync(join(folder, "local_content/AA/aa"), { recursive: true, mode: 0o777 });
  writeFileSync(join(folder, "local_content/AA/aa/first"), "x");
  const store = newStore();
  const archive = execFileSync("tar", ["-cf", "-", "local_content"], { cwd: folder });
  assert.equal((await restored(chunked(archive), store)).written, 1);
  assert.equal(statSync(join(store, "local_content")).mode & 0o777, 0o700);
});

test("a link that lies in the way inside of the store is not followed", async () => {
  const elsewhere = temporaryFolder("elsewhere");
  const store = newStore();
  mkdirSync(store);
  symlinkSync(elsewhere, join(store, "local_content"));
  await assert.rejects(restored(archived(UPLOADS), store), {
    code: "target-not-empty",
    message: /is not a directory/,
  });
  assert.deepEqual(readdirSync(elsewhere), []);
});

test("a store that is itself a link to a folder is what its owner meant", async () => {
  const [disk, place] = [temporaryFolder("large-disk"), temporaryFolder("place")];
  symlinkSync(disk, join(place, "media_store"));
  await restored(archived(UPLOADS), join(place, "media_store"));
  assert.deepEqual(filesIn(disk), Object.keys(UPLOADS));
});

test("files and folders belong to whom they are to belong", async () => {
  const store = newStore();
  const owner =
    process.getuid?.() === 0
      ? { uid: 65_534, gid: 65_534 }
      : { uid: process.getuid!(), gid: process.getgid!() };
  await restoreMedia(archived(UPLOADS), { store, owner }, files);
  for (const name of ["", "local_content", "local_content/AA/aa", ...Object.keys(UPLOADS)]) {
    const { uid, gid } = statSync(join(store, name));
    assert.deepEqual({ uid, gid }, owner, name);
  }
});

const NOBODY = { uid: 65_534, gid: 65_534 };
const ROOT_ONLY = { skip: process.getuid?.() === 0 ? false : "only root gives files away" };

test("folders and files that an earlier run left to root are given to their owner", ROOT_ONLY, async () => {
  const store = newStore();
  await restored(archived(UPLOADS), store);
  await restoreMedia(archived(UPLOADS), { store, owner: NOBODY }, files);
  for (const name of [
    "",
    "local_content",
    "local_content/AA",
    "local_content/AA/aa",
    ...Object.keys(UPLOADS),
  ]) {
    const { uid, gid } = statSync(join(store, name));
    assert.deepEqual({ uid, gid }, NOBODY, name);
  }
});

test("nothing has its name before it has its owner", ROOT_ONLY, async () => {
  const store = newStore();
  const killed: Files = {
    ...files,
    async setOwner(path, uid, gid) {
      if (path.includes(stop)) throw new Error("killed");
      await files.setOwner(path, uid, gid);
    },
  };
  let stop = ".aa.unfinished";
  const run = (through: Files) => restoreMedia(archived(UPLOADS), { store, owner: NOBODY }, through);
  await assert.rejects(run(killed), /killed/);
  assert.deepEqual(readdirSync(join(store, "local_content/AA")), [".aa.unfinished"]);
  stop = ".first.unfinished";
  await assert.rejects(run(killed), /killed/);
  assert.deepEqual(readdirSync(join(store, "local_content/AA")), ["aa"]);
  assert.deepEqual(filesIn(store), []);
  await run(files);
  assert.deepEqual(filesIn(store), Object.keys(UPLOADS));
});
