import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { mediaState } from "../../../src/move/follow/live-text.ts";
import {
  type MediaRecord,
  readMediaRecord,
  writeMediaRecord,
  writtenPath,
} from "../../../src/move/follow/media/record.ts";
import { type MediaOrder, settleMedia } from "../../../src/move/follow/media/settle.ts";
import { openWritten, removeWritten } from "../../../src/move/follow/media/written.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

const files = realFiles;
const reach = { files, signal: new AbortController().signal };
const ignore = () => undefined;

function order(dir: string, more: Partial<MediaOrder> = {}): MediaOrder {
  return {
    ...{ isLeftOut: false, isGiven: true, every: undefined, maxRate: undefined },
    choose: () => ({ dir, owner: undefined }),
    ...more,
  };
}

function place() {
  const folder = temporaryFolder("media-beside");
  return { configDir: join(folder, "config"), dir: join(folder, "srv", "media") };
}

/** Settled and written down, as `follow` does it. */
async function begun({ configDir, dir }: { configDir: string; dir: string }): Promise<MediaRecord> {
  const settled = await settleMedia(order(dir), { configDir, isBegun: false }, files);
  const record = { ...settled!, serverName: "example.org" };
  await writeMediaRecord(configDir, record, files);
  return record;
}

async function write(configDir: string, dir: string, names: readonly string[]): Promise<void> {
  const list = await openWritten(configDir, files, machineWith());
  for (const name of names) {
    await list.add(name);
    mkdirSync(join(dir, dirname(name)), { recursive: true });
    writeFileSync(join(dir, name), name);
  }
  await list.close();
}

test("what was written is taken away, with the folders that were made for it, and nothing else", async () => {
  const { configDir, dir } = place();
  const record = await begun({ configDir, dir });
  await write(configDir, dir, [
    "local_content/aa/bb/one",
    "local_content/aa/cc/two",
    "local_thumbnails/aa/bb/one/32",
  ]);
  const foreign = ["notes.txt", "local_content/aa/cc/foreign", "remote_content/example.com/aa/bb/file"];
  for (const name of foreign) {
    mkdirSync(join(dir, dirname(name)), { recursive: true });
    writeFileSync(join(dir, name), "not ours");
  }
  await removeWritten(configDir, record, reach, ignore);
  const left = readdirSync(dir, { recursive: true, encoding: "utf8", withFileTypes: true });
  assert.deepEqual(
    left
      .filter((one) => one.isFile())
      .map((one) => join(one.parentPath, one.name))
      .sort(),
    foreign.map((name) => join(dir, name)).sort(),
  );
  assert.equal(existsSync(join(dir, "local_thumbnails")), false);
  assert.equal(existsSync(join(dir, "local_content/aa/bb")), false);
  assert.equal(await readMediaRecord(configDir, files), undefined);
  assert.equal(existsSync(writtenPath(configDir)), false);
});

test("where nothing else is there, no folder is left; what was there before stays, also when it is empty", async () => {
  const one = place();
  const record = await begun(one);
  await write(one.configDir, one.dir, ["local_content/aa/bb/one"]);
  await removeWritten(one.configDir, record, reach, ignore);
  assert.equal(existsSync(dirname(one.dir)), false);

  const other = place();
  mkdirSync(join(other.dir, "local_content"), { recursive: true });
  const kept = await begun(other);
  await write(other.configDir, other.dir, ["local_content/aa/bb/one"]);
  await removeWritten(other.configDir, kept, reach, ignore);
  assert.deepEqual(readdirSync(other.dir), ["local_content"]);
  assert.deepEqual(readdirSync(join(other.dir, "local_content")), []);
});

test("what a killed pass has left is taken away too: a file without its name, a folder without its owner, a line that was cut off", async () => {
  const { configDir, dir } = place();
  const record = await begun({ configDir, dir });
  await write(configDir, dir, ["local_content/aa/bb/one"]);
  writeFileSync(join(dir, "local_content/aa/bb/.one.unfinished"), "half");
  mkdirSync(join(dir, "local_content/aa/.bb.unfinished"));
  appendFileSync(writtenPath(configDir), '"local_content/aa/bb/on');
  await write(configDir, dir, ["local_content/aa/dd/two"]);
  await removeWritten(configDir, record, reach, ignore);
  assert.equal(existsSync(dir), false);
});

test("a taking away that was broken off is finished by the next", async () => {
  const { configDir, dir } = place();
  const record = await begun({ configDir, dir });
  const names = Array.from({ length: 20 }, (_, at) => `local_content/aa/bb/file${at}`);
  await write(configDir, dir, names);
  const stopped = new AbortController();
  let count = 0;
  const breaking = removeWritten(configDir, record, { files, signal: stopped.signal }, () => {
    count += 1;
    if (count === 7) stopped.abort(new Error("killed"));
  });
  await assert.rejects(breaking, /killed/);
  assert.equal(readdirSync(join(dir, "local_content/aa/bb")).length, 13);
  await removeWritten(configDir, record, reach, ignore);
  assert.equal(existsSync(dir), false);
});

test("a list that names what lies outside of the store takes nothing away there", async () => {
  const { configDir, dir } = place();
  const record = await begun({ configDir, dir });
  await write(configDir, dir, ["local_content/aa/bb/one"]);
  const outside = join(dir, "..", "outside");
  writeFileSync(outside, "not ours");
  const lines = ["local_content/../../outside", "../outside", "/etc/passwd", "remote_content/a"];
  appendFileSync(writtenPath(configDir), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  await removeWritten(configDir, record, reach, ignore);
  assert.ok(existsSync(outside));
});

test("a store that has media already is refused, and one that is empty is not", async () => {
  const { configDir, dir } = place();
  mkdirSync(join(dir, "local_content"), { recursive: true });
  assert.ok(await settleMedia(order(dir), { configDir, isBegun: false }, files));
  mkdirSync(join(dir, "local_content/aa"));
  await assert.rejects(settleMedia(order(dir), { configDir, isBegun: false }, files), {
    code: "target-not-empty",
    message: /local_content is not empty: it has aa/,
    hint: /--media-dir.*--without-media/,
  });
});

test("a copy that was begun without media goes on without, until a place is given; and with media in no other place", async () => {
  const { configDir, dir } = place();
  const unsaid = order(dir, { isGiven: false, choose: () => assert.fail("no place is asked for") });
  assert.equal(await settleMedia(unsaid, { configDir, isBegun: true }, files), undefined);
  assert.equal((await settleMedia(order(dir), { configDir, isBegun: true }, files))?.dir, dir);
  await begun({ configDir, dir });
  await assert.rejects(settleMedia(order("/srv/other"), { configDir, isBegun: true }, files), {
    code: "bundle-mismatch",
  });
  const owner = { name: "synapse", uid: 4321, gid: 4321 };
  const otherOwner = order(dir, { choose: () => ({ dir, owner }) });
  await assert.rejects(settleMedia(otherOwner, { configDir, isBegun: true }, files), {
    code: "bundle-mismatch",
  });
});

test("what a run that was killed as it began has settled is settled anew; what has files of another run is not", async () => {
  const { configDir, dir } = place();
  const record = await begun({ configDir, dir });
  const at = { configDir, isBegun: false };
  assert.equal((await settleMedia(order("/srv/other/media"), at, files))?.dir, "/srv/other/media");
  const without = order(dir, { isLeftOut: true, isGiven: false });
  assert.equal((await settleMedia(without, at, files))?.paused, true, "it must not be copied by itself");
  const failed = { at: "2026-12-01T03:00:00.000Z", code: "disk-full", message: "no room" };
  await writeMediaRecord(configDir, { ...record, failed }, files);
  await assert.rejects(settleMedia(order("/srv/other/media"), at, files), { code: "bundle-mismatch" });
});

test("left out for a while, media stay left out for whoever goes on, until somebody says otherwise", async () => {
  const { configDir, dir } = place();
  await begun({ configDir, dir });
  const at = { configDir, isBegun: true };
  const without = order(dir, { isLeftOut: true, isGiven: false });
  const paused = await settleMedia(without, at, files);
  assert.equal(paused?.paused, true);
  await writeMediaRecord(configDir, paused, files);
  assert.equal((await settleMedia(order(dir, { isGiven: false }), at, files))?.paused, true);
  const again = await settleMedia(order(dir, { every: 60, maxRate: 1024 }), at, files);
  assert.deepEqual([again?.paused, again?.every, again?.maxRate], [false, 60, 1024]);
});

test("the line says what comes, what failed, and as of when the media are", async () => {
  const record = await begun(place());
  const [since, at] = ["2026-12-01T03:00:00.000Z", "2026-12-01T04:00:00.000Z"];
  const count = { files: 2, bytes: 3 * 1024 ** 2 };
  const last = { at, here: count, came: count, all: count };
  const running = { since, came: { files: 1, bytes: 1024 ** 2 }, toCome: count };
  const failed = { at, code: "disk-full", message: "no room" };
  assert.equal(mediaState(record), "media are not copied yet");
  assert.equal(
    mediaState({ ...record, running: { ...running, toCome: null } }),
    "media: compared with the old host",
  );
  assert.equal(mediaState({ ...record, running }), "media: 1.0 MiB of 3.0 MiB have come");
  assert.equal(mediaState({ ...record, last }), `media as of ${at}`);
  assert.equal(mediaState({ ...record, last, failed }), `media could not be copied on ${at}`);
});
