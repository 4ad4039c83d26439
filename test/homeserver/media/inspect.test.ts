import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { uploadPath } from "../../../src/homeserver/media/store/layout.ts";
import { type Files, realFiles } from "../../../src/system/files/files.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { type MediaDatabase, mediaInPostgres, mediaInSqlite } from "../../support/media-database.ts";
import { Recorder } from "../../support/recorder.ts";
import { findingOf, MediaHome, told } from "./inspected-media.ts";

let cluster: PostgresCluster;
const databases = new Map<string, MediaDatabase>();

before(async () => {
  cluster = await PostgresCluster.start();
  for (const age of ["old", "new"] as const) {
    databases.set(`postgres ${age}`, await mediaInPostgres(cluster, age, age));
    databases.set(`sqlite ${age}`, mediaInSqlite(age));
  }
});
after(() => cluster.stop());

/** A bit of everything that a healthy server has. */
function healthy(database: MediaDatabase, hashes = true): MediaHome {
  const home = new MediaHome(database, hashes)
    .upload("AAaaFirst", "first")
    .upload("AAabSecond", "second one", { quarantined_by: "@admin:example.org" })
    .upload("aaaafirst", "differs in case alone")
    .upload("zz-_Third.[x]:1", "odd, and allowed")
    .upload("BBbbEmpty", "", { created_ts: Date.UTC(2019, 5, 1) })
    .row("local_media_repository", { media_id: "PPppPending", created_ts: 5 })
    .row("local_media_repository", { media_id: "PPppWriting", created_ts: 5 })
    .file("local_content/PP/pp/Writing", "is being written")
    .row("local_media_repository", {
      media_id: "2026-05-19_preview",
      media_length: 77,
      url_cache: "https://example.com",
      created_ts: Date.UTC(2026, 4, 19),
    })
    .file("url_cache/2026-05-19/preview", "x".repeat(77))
    .row("local_media_repository", {
      media_id: "oldstylepreview",
      media_length: 3,
      url_cache: "u",
      created_ts: 9,
    })
    .file("url_cache/ol/ds/tylepreview", "old")
    .file("local_thumbnails/AA/aa/First/32-32-image-png-crop", "thumb")
    .remote("far.example", "remote")
    .remote("far.example", "blocked", { quarantined_by: "@admin:example.org", media_length: 1000 })
    .remote("[::1]:8448", "other", { created_ts: null, media_length: null })
    .file("remote_content/far.example/re/mo/tefs", "0123456789");
  const thumbnail = {
    thumbnail_width: 32,
    thumbnail_height: 32,
    thumbnail_type: "image/png",
    thumbnail_method: "crop",
  };
  for (const [media_id, thumbnail_length] of [
    ["AAaaFirst", 5],
    ["2026-05-19_preview", 7],
  ] as const)
    home.row("local_media_repository_thumbnails", { media_id, thumbnail_length, ...thumbnail });
  home.row("remote_media_cache_thumbnails", {
    media_origin: "far.example",
    media_id: "remote",
    filesystem_id: "remotefs",
    thumbnail_length: 9,
    ...thumbnail,
  });
  return home;
}

const HEALTHY = ["media-compared ok", "media-size ok", "media-largest ok", "media-remote note"];

for (const kind of ["postgres old", "postgres new", "sqlite old", "sqlite new"]) {
  describe(kind, () => {
    const database = () => databases.get(kind)!;
    const hashes = kind.endsWith("new");
    const home = () => healthy(database(), hashes);

    test("a healthy server has nothing above a note, and every kind is counted apart", async () => {
      const looked = await home().inspect();
      assert.deepEqual(told(looked), HEALTHY);
      const { kinds, packed, compared, largest, remote, byAge } = looked.facts;
      assert.deepEqual(kinds, {
        localUploads: { files: 5, bytes: 52 },
        localThumbnails: { files: 1, bytes: 5 },
        remoteMedia: { files: 3, bytes: 1010 },
        remoteThumbnails: { files: 1, bytes: 9 },
        urlPreviews: { files: 2, bytes: 80 },
        urlPreviewThumbnails: { files: 1, bytes: 7 },
        pending: 2,
        quarantinedLocal: 1,
        quarantinedRemote: 1,
      });
      assert.deepEqual(packed, { files: 7, bytes: 73, exact: false });
      assert.deepEqual(compared, {
        ...{ missing: 0, provided: 0, differing: 0, unknownFiles: 0, unknownBytes: 0 },
        ...{ hashed: null, unreadable: null },
      });
      assert.deepEqual(largest[0], { mediaId: "aaaafirst", bytes: 21 });
      assert.deepEqual(remote, {
        fetchedAgain: { files: 2, bytes: 10 },
        origins: 2,
        largestOrigins: [
          { origin: "far.example", files: 1, bytes: 10 },
          { origin: "[::1]:8448", files: 1, bytes: 0 },
        ],
        unreachable: { origins: 0, files: 0, bytes: 0, largestOrigins: [] },
        rowsWithoutFile: null,
        filesWithoutRow: null,
      });
      assert.deepEqual(byAge[0], {
        period: "",
        local: { files: 0, bytes: 0 },
        remote: { files: 1, bytes: 0 },
      });
      assert.deepEqual(
        byAge.slice(1).filter(({ local, remote }) => local.files + remote.files > 0),
        [
          { period: "2019", local: { files: 1, bytes: 0 }, remote: { files: 0, bytes: 0 } },
          { period: "2024", local: { files: 0, bytes: 0 }, remote: { files: 2, bytes: 1010 } },
          { period: "2026-02", local: { files: 4, bytes: 52 }, remote: { files: 0, bytes: 0 } },
        ],
      );
    });

    test("a deep look reads all, also where no hashes are known", async () => {
      const progress = new Recorder();
      const looked = await home().inspect({ deep: true, progress });
      assert.deepEqual(told(looked), HEALTHY);
      assert.equal(looked.facts.compared?.hashed, hashes ? 5 : 0);
      assert.deepEqual(looked.facts.packed, { files: 7, bytes: 73, exact: true });
      const { rowsWithoutFile, filesWithoutRow } = looked.facts.remote!;
      assert.deepEqual([rowsWithoutFile, filesWithoutRow], [2, 0]);
      assert.deepEqual(progress.begun, ["plan/media", "plan/media-read", "plan/remote-media"]);
      assert.deepEqual(progress.ended, progress.begun);
    });

    test("uploads that are missing, cut short, or can never have had a file are named with whose they are", async () => {
      const one = home()
        .upload("shor", "no file can have four letters")
        .upload("a/../../etc", "nor this", { user_id: null })
        .upload("ünïcödé🦊id", "nor this", { created_ts: null })
        .upload("quo'te\\d", "nor this")
        .row("room_stats_state", { room_id: "!kitchen:example.org", avatar: "mxc://example.org/AAaaFirst" })
        .row("room_stats_state", { room_id: "!other:example.org", avatar: "mxc://far.example/shor" })
        .row("profiles", { user_id: "bob", avatar_url: "mxc://example.org/quo'te\\d" });
      rmSync(join(one.store, uploadPath("AAaaFirst")!));
      writeFileSync(join(one.store, uploadPath("AAabSecond")!), "cut");
      const looked = await one.inspect();
      assert.deepEqual(told(looked), [
        "media-missing warning",
        "media-differing warning",
        ...HEALTHY.slice(1),
      ]);
      assert.deepEqual(findingOf(looked, "media-differing")?.evidence, [
        "AAabSecond: 10 bytes by its row, 3 on disk; from @alice:example.org, 2026-02-03",
      ]);
      assert.deepEqual(findingOf(looked, "media-missing")?.evidence, [
        "AAaaFirst: 5 bytes by its row, no file; from @alice:example.org, 2026-02-03; it is the picture of !kitchen:example.org",
        '"a/../../etc": no file can have this id; from nobody known, 2026-02-03',
        '"quo\'te\\\\d": no file can have this id; from @alice:example.org, 2026-02-03; it is the picture of @bob:example.org',
        '"shor": no file can have this id; from @alice:example.org, 2026-02-03',
        '"ünïcödé🦊id": no file can have this id; from @alice:example.org',
      ]);
      assert.match(findingOf(looked, "media-missing")!.sentence, /^uploads without a file in .*: 5 of 9$/);
      assert.deepEqual([looked.facts.compared?.missing, looked.facts.compared?.differing], [5, 1]);
    });

    test("a changed byte is found by a deep look alone, where its hash is known", async () => {
      const one = home();
      writeFileSync(join(one.store, uploadPath("AAaaFirst")!), "fir5t");
      assert.deepEqual(told(await one.inspect()), HEALTHY);
      const looked = await one.inspect({ deep: true });
      assert.deepEqual(told(looked), hashes ? ["media-differing warning", ...HEALTHY.slice(1)] : HEALTHY);
      const evidence = hashes ? ["AAaaFirst: its hash is not the one in its row"] : undefined;
      assert.deepEqual(findingOf(looked, "media-differing")?.evidence, evidence);
    });

    test("files that belong to no upload are a note, wherever they lie", async () => {
      const looked = await home()
        .file("local_content/AA/aa/Stray", "12")
        .file("local_content/AA/aa/folder/deeper", "345")
        .file("local_content/AA/shallow", "6")
        .file("local_content/AAA/aa/three", "7")
        .file("local_content/AA/aa/.nfs é", "8")
        .file("local_content/20/26/-05-19_preview", "9: a preview has its place elsewhere")
        .inspect();
      assert.deepEqual(told(looked), ["media-compared ok", "media-unknown-files note", ...HEALTHY.slice(1)]);
      assert.deepEqual(findingOf(looked, "media-unknown-files")?.evidence, [
        "local_content/20/26/-05-19_preview: 36 bytes",
        "local_content/AA/aa/.nfs é: 1 bytes",
        "local_content/AA/aa/Stray: 2 bytes",
        "local_content/AA/aa/folder/deeper: 3 bytes",
        "local_content/AA/shallow: 1 bytes",
        "local_content/AAA/aa/three: 1 bytes",
      ]);
      assert.deepEqual([looked.facts.compared?.unknownFiles, looked.facts.compared?.unknownBytes], [6, 44]);
    });

    test("uploads that come and go during the look are no fault", async () => {
      const one = home();
      const going = ["AAaaFirst", "zz-_Third.[x]:1"];
      const files: Files = {
        ...realFiles,
        async *walk(folder, signal) {
          yield* realFiles.walk(folder, signal);
          if (!folder.endsWith("local_content")) return;
          one.file("local_content/zz/zz/Came", "came after the rows were read");
          yield [{ name: "zz/zz/Came", kind: "file", size: 29, mode: 0o640, mtimeMs: 0 }];
          one.file("local_content/zz/zz/Coming", "its row has no length yet");
          yield [{ name: "zz/zz/Coming", kind: "file", size: 9, mode: 0o640, mtimeMs: 0 }];
          yield [{ name: "zz/zz/Went", kind: "file", size: 29, mode: 0o640, mtimeMs: 0 }];
          for (const id of going) rmSync(join(one.store, uploadPath(id)!), { force: true });
          await one.database.run(`
            DELETE FROM local_media_repository WHERE media_id IN ('AAaaFirst', 'zz-_Third.[x]:1');
            INSERT INTO local_media_repository (media_id, media_length, created_ts) VALUES ('zzzzCame', 29, 1), ('zzzzComing', NULL, 1);`);
        },
      };
      rmSync(join(one.store, uploadPath("AAaaFirst")!));
      writeFileSync(join(one.store, uploadPath("AAabSecond")!), "second");
      const healing: Files = {
        ...files,
        lstat(path) {
          if (path.endsWith("AA/ab/Second")) writeFileSync(path, "second one");
          return files.lstat(path);
        },
      };
      const looked = await one.inspect({ tools: { files: healing } });
      assert.deepEqual(told(looked), HEALTHY);
    });
  });
}
