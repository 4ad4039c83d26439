import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MigrationError } from "../../../src/errors.ts";
import { uploadPath } from "../../../src/homeserver/media/store/layout.ts";
import { type Files, realFiles } from "../../../src/system/files/files.ts";
import type { QuerySession } from "../../../src/system/query.ts";
import { asNobody } from "../../support/as-nobody.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { mediaInSqlite } from "../../support/media-database.ts";
import { findingOf, MediaHome, NOW, told } from "./inspected-media.ts";

const database = mediaInSqlite("new");

const home = () =>
  new MediaHome(database)
    .upload("AAaaFirst", "first")
    .upload("BBbbSecond", "second one")
    .file("local_thumbnails/AA/aa/First/32-32-image-png-crop", "thumb");

const HEALTHY = ["media-compared ok", "media-size ok", "media-largest ok", "media-remote ok"];

test("a media store that is not there, or is a file, stops a move; what the rows say is told all the same", async () => {
  const one = home();
  rmSync(one.store, { recursive: true });
  const looked = await one.inspect();
  assert.deepEqual(told(looked), [
    "media-store blocker",
    "media-size ok",
    "media-largest ok",
    "media-remote ok",
  ]);
  assert.match(findingOf(looked, "media-store")!.sentence, /media_store does not exist$/);
  assert.equal(looked.facts.packed, null);
  writeFileSync(one.store, "a file");
  assert.match(findingOf(await one.inspect(), "media-store")!.sentence, /media_store is not a directory$/);
});

test("a media store that nobody may look into stops a move", async () => {
  const one = home();
  chmodSync(one.store, 0o000);
  chmodSync(one.folder, 0o777);
  await asNobody(async () => {
    const looked = await one.inspect({ deep: true });
    assert.equal(told(looked)[0], "media-store blocker");
    assert.match(findingOf(looked, "media-store")!.sentence, /permission denied/);
  });
});

test("an empty media store with uploads in the database is most likely another one", async () => {
  const one = home();
  rmSync(one.store, { recursive: true });
  mkdirSync(one.store);
  const looked = await one.inspect();
  assert.deepEqual(told(looked), ["media-store warning", "media-missing warning", ...HEALTHY.slice(1)]);
  assert.match(findingOf(looked, "media-store")!.hint!, /media_store_path/);
  const fresh = new MediaHome(database);
  assert.deepEqual(told(await fresh.inspect()), ["media-compared ok", "media-size ok", "media-remote ok"]);
});

test("folders and files that cannot be read stop a move, and what lies in them is not called missing", async () => {
  const one = home().upload("CCccThird", "third").upload("DDddFourth", "fourth");
  chmodSync(join(one.store, "local_content/AA"), 0o000);
  chmodSync(join(one.store, "local_content/BB/bb"), 0o000);
  chmodSync(join(one.store, uploadPath("CCccThird")!), 0o000);
  chmodSync(one.folder, 0o777);
  await asNobody(async () => {
    const looked = await one.inspect();
    assert.deepEqual(told(looked), ["media-unreadable blocker", ...HEALTHY.slice(1)]);
    assert.deepEqual(findingOf(looked, "media-unreadable")?.evidence, [
      "local_content/AA",
      "local_content/BB/bb",
      "local_content/CC/cc/Third",
      "uploads whose files may lie there: 2",
    ]);
  });
});

test("a deep look tells of every file that cannot be read, thumbnails too", async () => {
  const one = home().upload("CCccThird", "third");
  const broken = ["local_content/BB/bb/Second", "local_thumbnails/AA/aa/First/32-32-image-png-crop"];
  const files: Files = {
    ...realFiles,
    async *read(path, range) {
      if (broken.some((name) => path.endsWith(name)))
        throw new MigrationError("file-failed", `EIO in ${path}`);
      yield* realFiles.read(path, range);
    },
  };
  assert.deepEqual(told(await one.inspect({ tools: { files } })), HEALTHY);
  const looked = await one.inspect({ deep: true, tools: { files } });
  assert.deepEqual(told(looked), ["media-compared ok", "media-unreadable blocker", ...HEALTHY.slice(1)]);
  assert.deepEqual(findingOf(looked, "media-unreadable")?.evidence, broken);
  assert.equal(looked.facts.compared?.unreadable, 2);
});

test("links and pipes in the media store are told; the store and its first folders may be links", async () => {
  const one = home().upload("CCccThird", "third").upload("DDddFourth", "fourth");
  const elsewhere = temporaryFolder("elsewhere");
  for (const name of ["local_content/CC", "local_content/DD/dd/Fourth"]) {
    renameSync(join(one.store, name), join(elsewhere, "moved"));
    symlinkSync(join(elsewhere, "moved"), join(one.store, name));
    renameSync(join(elsewhere, "moved"), join(elsewhere, name.replaceAll("/", "-")));
  }
  execFileSync("mkfifo", [join(one.store, "local_content/pipe")]);
  symlinkSync(elsewhere, join(one.store, "local_thumbnails/CC"));
  for (const deep of [false, true]) {
    const looked = await one.inspect({ deep });
    assert.deepEqual(told(looked), [
      "media-missing warning",
      "media-special-files warning",
      ...HEALTHY.slice(1),
    ]);
    assert.deepEqual(findingOf(looked, "media-special-files")?.evidence, [
      "local_content/CC",
      "local_content/DD/dd/Fourth",
      "local_content/pipe",
      "local_thumbnails/CC",
    ]);
    assert.equal(looked.facts.compared?.missing, 2);
  }
  const linked = home();
  cpSync(linked.store, join(elsewhere, "store"), { recursive: true });
  rmSync(linked.store, { recursive: true });
  symlinkSync(join(elsewhere, "store"), linked.store);
  renameSync(join(elsewhere, "store/local_content"), join(elsewhere, "content"));
  symlinkSync(join(elsewhere, "content"), join(elsewhere, "store/local_content"));
  assert.deepEqual(told(await linked.inspect()), HEALTHY);
});

test("a file system that takes upper and lower case for the same is found without writing", async () => {
  const files: Files = {
    ...realFiles,
    lstat: (path) => realFiles.lstat(path.replace("LOCAL_CONTENT", "local_content")),
  };
  const looked = await home().upload("aaaafirst", "first").inspect({ tools: { files } });
  assert.deepEqual(told(looked), ["media-case warning", ...HEALTHY]);
  assert.deepEqual(findingOf(looked, "media-case")?.evidence, ["ids that differ in case alone: 1"]);
  const both = home().file("LOCAL_CONTENT/notes", "a folder of its own");
  assert.deepEqual(told(await both.inspect()), HEALTHY);
});

test("a media store in memory or on another host is a note", async () => {
  for (const kind of ["memory", "network"] as const) {
    const files: Files = {
      ...realFiles,
      diskSpace: async (path) => ({ ...(await realFiles.diskSpace(path)), kind }),
    };
    const looked = await home().inspect({ tools: { files } });
    assert.deepEqual(told(looked), ["media-file-system note", ...HEALTHY]);
  }
});

test("without a database the files are counted, and nothing is said of rows", async () => {
  const one = home();
  const looked = await one.inspect({ tools: { session: undefined } });
  assert.deepEqual(told(looked), ["media-size ok"]);
  assert.deepEqual(looked.facts.packed, { files: 3, bytes: 20, exact: true });
  assert.equal(looked.facts.kinds, null);
});

test("a question that fails is a finding, and the files are looked at all the same", async () => {
  const one = home();
  for (const failing of ["remote_media_cache", "ORDER BY media_id"]) {
    const real = await database.connect();
    const session: QuerySession = {
      ...{ engine: real.engine, close: () => real.close(), beginSnapshot: () => real.beginSnapshot() },
      rows: (sql) => real.rows(sql.includes(failing) ? "SELECT 1 FROM nowhere" : sql),
      all: (sql) => real.all(sql),
      one: (sql) => real.one(sql),
    };
    const looked = await one.inspect({ tools: { session } });
    assert.equal(told(looked)[0], "media-check-incomplete blocker", failing);
    assert.match(findingOf(looked, "media-check-incomplete")!.sentence, /no such table: nowhere/);
    assert.equal(looked.facts.packed?.files, 3);
    await session.close();
  }
});

test("a look that is to stop stops", async () => {
  const controller = new AbortController();
  const reason = new Error("that is enough");
  const files: Files = {
    ...realFiles,
    walk(folder, signal) {
      controller.abort(reason);
      return realFiles.walk(folder, signal);
    },
  };
  await assert.rejects(home().inspect({ tools: { files, signal: controller.signal } }), reason);
});

test("uploads over the target's limit are counted, the largest named", async () => {
  const one = home().upload("CCccThird", "x".repeat(3000));
  assert.deepEqual(told(await one.inspect({ uploadLimit: 3000 })), HEALTHY);
  const looked = await one.inspect({ uploadLimit: 9 });
  const finding = findingOf(looked, "media-largest");
  assert.equal(finding?.level, "warning");
  assert.equal(
    finding.sentence,
    "uploads larger than the 9 B that the target takes: 2; the largest upload, CCccThird, has 2.9 KiB",
  );
  assert.deepEqual(finding.evidence, ["CCccThird: 2.9 KiB", "BBbbSecond: 10 B"]);
});

test("media of servers that have not answered for a month is called lost", async () => {
  const day = 86_400_000;
  const one = home();
  const servers = [
    ["alive.example", null, 0],
    ["trouble.example", NOW - 29 * day, 3600_000],
    ["gone.example", NOW - 31 * day, 7 * day],
    ["longer-gone.example", NOW - 400 * day, 7 * day],
    ["back.example", NOW - 400 * day, 0],
  ] as const;
  for (const [destination, failure_ts, retry_interval] of servers) {
    one.row("destinations", { destination, failure_ts, retry_interval, retry_last_ts: 0 });
    one.remote(destination, "a").remote(destination, "b", { media_length: destination.length });
  }
  one.remote("gone.example", "blocked", { quarantined_by: "@admin:example.org" });
  const looked = await one.inspect();
  assert.deepEqual(told(looked), [...HEALTHY.slice(0, 3), "media-remote note", "media-remote-lost warning"]);
  const { remote } = looked.facts;
  assert.deepEqual(remote?.unreachable, {
    origins: 2,
    files: 4,
    bytes: 51,
    largestOrigins: [
      { origin: "longer-gone.example", files: 2, bytes: 29 },
      { origin: "gone.example", files: 2, bytes: 22 },
    ],
  });
  assert.equal(remote.origins, 5);
  assert.deepEqual(
    findingOf(looked, "media-remote")?.evidence?.at(-1),
    "quarantined, which stays as it is and is not fetched again: 1 file",
  );
});

test("a deep look counts remote rows without file, and remote files without row", async () => {
  const looked = await home()
    .remote("a.example", "hereone")
    .file("remote_content/a.example/he/re/onefs", "x")
    .remote("a.example", "goneone")
    .remote("a.example-two:8448", "heretwo")
    .file("remote_content/a.example-two:8448/he/re/twofs", "x")
    .remote("a", "herethree", { filesystem_id: null })
    .file("remote_content/a/st/ra/y", "x")
    .file("remote_content/a.example/st/ra/y", "x")
    .file("remote_content/odd name/st/ra/y", "x")
    .inspect({ deep: true });
  const { rowsWithoutFile, filesWithoutRow } = looked.facts.remote!;
  assert.deepEqual([rowsWithoutFile, filesWithoutRow], [1, 3]);
});
