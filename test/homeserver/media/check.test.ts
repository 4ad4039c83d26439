import assert from "node:assert/strict";
import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checkMedia, type MediaCheck } from "../../../src/homeserver/media/check.ts";
import { uploadPath } from "../../../src/homeserver/media/store/layout.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { realObjectStores } from "../../../src/system/s3/s3.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { S3Server } from "../../support/lab/s3-server.ts";
import { type MediaDatabase, mediaInPostgres, mediaInSqlite } from "../../support/media-database.ts";
import { Recorder } from "../../support/recorder.ts";
import { MediaHome } from "./inspected-media.ts";

let cluster: PostgresCluster;
let server: S3Server;
const databases = new Map<string, MediaDatabase>();

before(async () => {
  [cluster, server] = await Promise.all([PostgresCluster.start(), S3Server.start()]);
  databases.set("postgres", await mediaInPostgres(cluster, "check", "new"));
  databases.set("sqlite", mediaInSqlite("new"));
});
after(async () => {
  await server.stop();
  await cluster.stop();
});

const { signal } = new AbortController();

async function check(
  home: MediaHome,
  { settings = "", hashes = false, progress = new Recorder() } = {},
): Promise<MediaCheck> {
  const homeserver = await home.homeserver(settings);
  const session = await home.database.connect();
  const tools = { session, files: realFiles, objects: realObjectStores(signal), signal };
  return checkMedia(homeserver, hashes, tools, progress).finally(() => session.close());
}

const told = ({ findings }: MediaCheck) => findings.map(({ id, level }) => `${id} ${level}`);

for (const kind of ["postgres", "sqlite"]) {
  describe(kind, () => {
    const home = () =>
      new MediaHome(databases.get(kind)!)
        .upload("AAaaFirst", "first")
        .upload("BBbbSecond", "second", { quarantined_by: "@admin:example.org" })
        .upload("CCccThird", "third")
        .row("local_media_repository", { media_id: "PPppPending", created_ts: 5 })
        .remote("far.example", "remote")
        .file("remote_content/far.example/re/mo/tefs", "0123456789")
        .remote("far.example", "blocked", { quarantined_by: "@admin:example.org" });

    test("a store that fits its rows is well, also where what is quarantined has no file", async () => {
      const progress = new Recorder();
      const found = await check(home(), { progress, hashes: true });
      assert.deepEqual(told(found), ["media-compared ok", "media-remote ok"]);
      assert.deepEqual(found.facts, {
        store: found.facts!.store,
        ...{ rows: 3, files: 3, bytes: 16, provided: 0, missing: 0, differing: 0, unknown: 0 },
        ...{ odd: 0, unreadable: 0, hashed: 3, changed: 0 },
        remote: { rowsWithoutFile: 1, quarantinedWithoutFile: 1, filesWithoutRow: 0 },
      });
      assert.deepEqual(progress.begun, ["media/uploads", "media/read", "media/remote"]);
      assert.deepEqual(progress.ended, progress.begun);
    });

    test("each fault is counted apart, and named with whose it is", async () => {
      const one = home().upload("DDddFourth", "fourth").remote("far.example", "gone");
      one.file("remote_content/far.example/no/bo/dys", "x").file("local_content/XX/xx/stray", "12");
      rmSync(join(one.store, uploadPath("AAaaFirst")!));
      writeFileSync(join(one.store, uploadPath("CCccThird")!), "thi");
      writeFileSync(join(one.store, uploadPath("DDddFourth")!), "FOURTH");
      symlinkSync("/etc/passwd", join(one.store, "local_content/XX/xx/link"));
      const { facts, findings } = await check(one, { hashes: true });
      assert.deepEqual(
        findings.map(({ id, level }) => `${id} ${level}`),
        [
          ...["media-missing warning", "media-differing warning", "media-unknown-files note"],
          ...["media-special-files warning", "media-remote warning"],
        ],
      );
      const { missing, differing, unknown, odd, changed, remote } = facts!;
      assert.deepEqual(
        { missing, differing, unknown, odd, changed },
        { missing: 1, differing: 1, unknown: 1, odd: 1, changed: 1 },
      );
      assert.deepEqual(remote, { rowsWithoutFile: 2, quarantinedWithoutFile: 1, filesWithoutRow: 1 });
      assert.match(
        findings[0]!.evidence![0]!,
        /^AAaaFirst: 5 bytes by its row, no file; from @alice:example.org/,
      );
      assert.deepEqual((await check(one)).facts?.changed, null, "without being asked, no file is read");
    });

    test("what only a bucket has is no fault, is read when hashes are asked for, and may be another file", async () => {
      const bucket = `check-${kind}`;
      await server.makeBucket(bucket);
      await server.put(bucket, uploadPath("AAaaFirst")!, "first");
      await server.put(bucket, uploadPath("CCccThird")!, "THIRD");
      await server.put(bucket, "remote_content/far.example/re/mo/tefs", "0123456789");
      const settings = `media_storage_providers:
- module: s3_storage_provider.S3StorageProviderBackend
  store_local: true
  config: {bucket: ${bucket}, endpoint_url: "${server.url}", access_key_id: lab, secret_access_key: geheim}
`;
      const one = home();
      writeFileSync(join(one.store, uploadPath("AAaaFirst")!), "fi");
      rmSync(join(one.store, uploadPath("CCccThird")!));
      rmSync(join(one.store, "remote_content"), { recursive: true });
      assert.deepEqual(told(await check(one)), [
        "media-missing warning",
        "media-differing warning",
        "media-remote warning",
      ]);
      const quick = await check(one, { settings });
      assert.deepEqual(told(quick), ["media-compared ok", "media-in-provider note", "media-remote ok"]);
      const read = await check(one, { settings, hashes: true });
      assert.deepEqual(told(read), ["media-differing warning", "media-in-provider note", "media-remote ok"]);
      assert.deepEqual([read.facts?.provided, read.facts?.hashed, read.facts?.changed], [2, 3, 1]);
      assert.doesNotMatch(JSON.stringify(read), /geheim/);
      const nowhere = check(one, { settings: settings.replace(`bucket: ${bucket}`, "bucket: none-such") });
      await assert.rejects(nowhere, { code: "object-storage-failed" });
    });

    test("a store that is not there is a blocker", async () => {
      const one = home();
      rmSync(one.store, { recursive: true });
      const found = await check(one);
      assert.deepEqual([told(found), found.facts], [["media-store blocker"], undefined]);
    });
  });
}
