import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import {
  type EntryFilter,
  mediaEntries,
  PackingReport,
} from "../../../../src/homeserver/media/pack/entries.ts";
import { listExistingMedia } from "../../../../src/homeserver/media/pack/existing.ts";
import {
  BucketProvider,
  folderProvider,
  type ReadableProvider,
} from "../../../../src/homeserver/media/providers/provider.ts";
import { uploadPath } from "../../../../src/homeserver/media/store/layout.ts";
import { type StoredFile, walkStore } from "../../../../src/homeserver/media/store/store.ts";
import { restoreMedia } from "../../../../src/homeserver/media/restore.ts";
import { saveStream } from "../../../../src/pipeline/save-stream.ts";
import { packTar, type TarEntry, unpackTar } from "../../../../src/pipeline/tar.ts";
import { type Files, realFiles, realFiles as files } from "../../../../src/system/files/files.ts";
import {
  ALL_ROWS,
  countRowsPerDay,
  isEmpty,
  isInRange,
  rangeCondition,
  rowsSince,
} from "../../../../src/homeserver/media/providers/row-range.ts";
import { realObjectStores } from "../../../../src/system/s3/s3.ts";
import { PostgresCluster } from "../../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { S3Server } from "../../../support/lab/s3-server.ts";
import {
  emptied,
  insert,
  type MediaDatabase,
  mediaInPostgres,
  mediaInSqlite,
} from "../../../support/media-database.ts";
import { MediaHome } from "../inspected-media.ts";

let cluster: PostgresCluster;
let server: S3Server;
const databases = new Map<string, MediaDatabase>();
const { signal } = new AbortController();

before(async () => {
  [cluster, server] = await Promise.all([PostgresCluster.start(), S3Server.start()]);
  databases.set("postgres", await mediaInPostgres(cluster, "entries", "new"));
  databases.set("sqlite", mediaInSqlite("new"));
  databases.set("sqlite without hashes", mediaInSqlite("old"));
});
after(async () => {
  await server.stop();
  await cluster.stop();
});

/** What somebody has who has received all of it once. */
async function listOf(home: MediaHome, database: MediaDatabase, providers: readonly ReadableProvider[]) {
  const session = await database.connect();
  const from = { session, store: home.store, providers, files: realFiles, signal };
  const noticed = new PackingReport();
  const entries = mediaEntries(
    walkStore(home.store, realFiles),
    { ...from, noticed },
    () => Promise.resolve(),
    {},
  );
  const folder = temporaryFolder("received");
  const store = join(folder, "store");
  await restoreMedia(packTar(entries), { store }, realFiles);
  await session.close();
  const [path, key] = [join(folder, "list"), randomBytes(32)];
  await saveStream(listExistingMedia(store, key, realFiles), path, realFiles);
  return { path, key, wholeSeconds: true };
}

interface Packed {
  readonly contents: ReadonlyMap<string, string>;
  /** What the list of what is packed was told. */
  readonly listed: readonly string[];
  readonly noticed: ReturnType<PackingReport["outcome"]>;
}

/** Packs and unpacks; `between` is called for each entry before its content is packed, and `found` for each file before it is read. */
async function packed(
  home: MediaHome,
  database: MediaDatabase,
  {
    providers = [],
    between = () => undefined,
    found = () => undefined,
    files = realFiles,
    ...choice
  }: EntryFilter & {
    providers?: readonly ReadableProvider[];
    files?: Files;
    between?: (entry: TarEntry) => void;
    found?: (file: StoredFile) => void;
  } = {},
): Promise<Packed> {
  const session = await database.connect();
  const noticed = new PackingReport();
  const listed: string[] = [];
  const from = { session, store: home.store, providers, files, signal, noticed };
  const note = (file: StoredFile) => {
    listed.push(file.name);
    return Promise.resolve();
  };
  const walked = async function* () {
    for await (const file of walkStore(home.store, files)) {
      found(file);
      yield file;
    }
  };
  const entries = async function* () {
    for await (const entry of mediaEntries(walked(), from, note, choice)) {
      between(entry);
      yield entry;
    }
  };
  const contents = new Map<string, string>();
  try {
    for await (const { name, content } of unpackTar(packTar(entries()))) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of content) chunks.push(chunk);
      assert.ok(!contents.has(name), `${name} is packed once`);
      contents.set(name, Buffer.concat(chunks).toString());
    }
  } finally {
    await session.close();
  }
  return { contents, listed, noticed: noticed.outcome() };
}

/** Files of which some small ones change while they are read in one piece. */
const changing = (changes: Readonly<Record<string, () => void>>): Files => ({
  ...realFiles,
  smallFiles(folder) {
    const reader = realFiles.smallFiles(folder);
    return {
      async read(names) {
        const batch = await reader.read(names);
        const seen = batch.files.map((file, index) => {
          const change = changes[names[index]!];
          change?.();
          return change ? { ...file, outcome: "other" as const, size: 0, content: new Uint8Array() } : file;
        });
        return {
          files: seen,
          release: () => {
            batch.release();
          },
        };
      },
      close: () => {
        reader.close();
      },
    };
  },
});

const at = (home: MediaHome, id: string) => join(home.store, uploadPath(id)!);

for (const kind of ["postgres", "sqlite", "sqlite without hashes"]) {
  describe(kind, () => {
    const hashes = kind !== "sqlite without hashes";
    let database: MediaDatabase;
    let home: MediaHome;

    beforeEach(async () => {
      database = databases.get(kind)!;
      home = new MediaHome(database, hashes);
      await database.run(emptied);
    });

    /** With its row. */
    async function upload(id: string, content: string, created = 1000): Promise<void> {
      home.file(uploadPath(id)!, content);
      await row(id, content, created);
    }

    async function row(id: string, content: string, created = 1000): Promise<void> {
      const sha256 = createHash("sha256").update(content).digest("hex");
      const values = { media_id: id, media_length: content.length, created_ts: created, user_id: "@a:b" };
      await database.run(insert("local_media_repository", [{ ...values, ...(hashes ? { sha256 } : {}) }]));
    }

    test("each file goes in as it lies, and one whose hash is another is told where hashes are known", async () => {
      await upload("AAaaFirst", "first");
      await upload("BBbbSecond", "second");
      await upload("aaaafirst", "differs in case alone");
      home.file("local_content/AA/aa/stray", "nobody's").file("local_thumbnails/AA/aa/First/x", "thumb");
      writeFileSync(at(home, "BBbbSecond"), "secONd");
      const { contents, listed, noticed } = await packed(home, database);
      assert.deepEqual(
        [...contents],
        [
          ["local_content/AA/aa/First", "first"],
          ["local_content/AA/aa/stray", "nobody's"],
          ["local_content/BB/bb/Second", "secONd"],
          ["local_content/aa/aa/first", "differs in case alone"],
          ["local_thumbnails/AA/aa/First/x", "thumb"],
        ],
      );
      assert.deepEqual(listed, [...contents.keys()]);
      assert.deepEqual(noticed.changed, hashes ? ["BBbbSecond"] : []);
      assert.deepEqual([noticed.files, noticed.bytes, noticed.provided], [5, 45, 0]);
    });

    test("a file that is gone when its turn comes is left out, and one that goes while it is read is whole", async () => {
      await upload("AAaaFirst", "first");
      await upload("BBbbSecond", "second");
      await upload("CCccThird", "third");
      const between = ({ name }: TarEntry) => {
        if (name === "local_content/AA/aa/First") rmSync(at(home, "AAaaFirst"));
      };
      const found = ({ name }: StoredFile) => {
        if (name === "local_content/BB/bb/Second") rmSync(at(home, "BBbbSecond"));
      };
      const { contents } = await packed(home, database, { between, found });
      assert.deepEqual([...contents.values()], ["first", "third"]);
    });

    test("a file that shrinks, grows or is replaced while it is read is kept from the list of what is packed", async () => {
      const long = "x".repeat(3_000_000);
      for (const id of ["AAaaShrinks", "BBbbGrows", "CCccOther", "DDddStays"]) await upload(id, long);
      const between = ({ name }: TarEntry) => {
        if (name.endsWith("Shrinks")) truncateSync(at(home, "AAaaShrinks"), 1_500_000);
        if (name.endsWith("Grows")) appendFileSync(at(home, "BBbbGrows"), "more");
        if (name.endsWith("Other")) writeFileSync(at(home, "CCccOther"), "y".repeat(3_000_000));
      };
      const { contents, listed, noticed } = await packed(home, database, { between });
      assert.deepEqual(listed, ["local_content/DD/dd/Stays"]);
      assert.deepEqual(
        [...contents.values()].map(({ length }) => length),
        Array(4).fill(3_000_000),
      );
      assert.equal(contents.get("local_content/BB/bb/Grows"), long);
      assert.equal(noticed.changedCount, 0);
      const last = {
        last: true,
        between: () => {
          appendFileSync(at(home, "DDddStays"), "more");
        },
      };
      await assert.rejects(packed(home, database, last), { code: "source-changed" });
    });

    test("a small file that changes while it is read is read anew: as it is now, or kept from the list while it goes on", async () => {
      for (const id of ["AAaaWritten", "BBbbGoesOn", "CCccStays"]) await upload(id, "first");
      const names = {
        written: uploadPath("AAaaWritten")!,
        goesOn: uploadPath("BBbbGoesOn")!,
        stays: uploadPath("CCccStays")!,
      };
      const moving = {
        files: changing({
          [names.written]: () => {
            writeFileSync(at(home, "AAaaWritten"), "second");
          },
          [names.goesOn]: () => {
            appendFileSync(at(home, "BBbbGoesOn"), ", more");
          },
        }),
        between: ({ name }: TarEntry) => {
          if (name === names.goesOn) appendFileSync(at(home, "BBbbGoesOn"), " and more");
        },
      };
      const { contents, listed } = await packed(home, database, moving);
      assert.deepEqual(
        [...contents],
        [
          [names.written, "second"],
          [names.goesOn, "first, more"],
          [names.stays, "first"],
        ],
      );
      assert.deepEqual(listed, [names.written, names.stays]);
      await assert.rejects(packed(home, database, { ...moving, last: true }), { code: "source-changed" });
    });

    test("a second pass asks providers for what its rows say is new, also with the clock set back or the server run again", async () => {
      const day = 86_400_000;
      await row("AAaaOld", "old", 10 * day + 5);
      await row("BBbbDeleted", "deleted", 20 * day);
      await row("CCccLate", "late", 25 * day);
      await database.run("UPDATE local_media_repository SET media_length = NULL WHERE media_id = 'CCccLate'");
      const session = await database.connect();
      try {
        const reach = { session, providers: ["one"] };
        const rows = await countRowsPerDay(reach);
        const first = { began: 30 * day, settled: false, rows };
        const [usual, stopped] = [
          await rowsSince(first, reach),
          await rowsSince({ ...first, settled: true }, reach),
        ];
        assert.deepEqual(
          [usual, isEmpty(usual), isEmpty(stopped)],
          [{ since: 28 * day, days: [] }, false, true],
        );

        await database.run("DELETE FROM local_media_repository WHERE media_id = 'BBbbDeleted'");
        await database.run("UPDATE local_media_repository SET media_length = 4 WHERE media_id = 'CCccLate'");
        await row("DDddSetBack", "clock", 3 * day);
        await row("EEeeNew", "new", 29 * day);
        for (const settled of [false, true]) {
          const range = await rowsSince({ ...first, settled }, reach);
          const found = await session.all<{ id: string; at: number }>(
            `SELECT media_id AS id, created_ts AS at FROM local_media_repository WHERE ${rangeCondition(range)} ORDER BY 1`,
          );
          assert.deepEqual(
            found.map(({ id }) => id),
            ["CCccLate", "DDddSetBack", "EEeeNew"],
          );
          assert.ok(found.every(({ at }) => isInRange(range, at)));
          assert.equal(isInRange(range, 10 * day + 5), false);
        }
        assert.deepEqual(await rowsSince({ ...first, rows: undefined }, reach), ALL_ROWS);
        assert.deepEqual(await countRowsPerDay({ session, providers: [] }), {});
      } finally {
        await session.close();
      }
    });

    test("what only a provider has is packed from there: folder and bucket, uploads and thumbnails, by their rows", async () => {
      await upload("AAaaHere", "here");
      for (const [id, content] of [
        ["BBbbFolder", "in the folder"],
        ["CCccBucket", "in the bucket"],
        ["DDddBoth", "in both"],
        ["EEeeNowhere", "lost"],
        ["FFffOther", "of another size"],
        ["GGggLarge", "l".repeat(2_000_000)],
        ["zz-_Odd.[x]:1", "odd, and allowed"],
      ] as const)
        await row(id, content);
      // What was left of a copy that was cut off.
      home.file("local_content/DD/dd/Both", "cut");
      const backup = new MediaHome(database);
      backup
        .file("local_content/BB/bb/Folder", "in the folder")
        .file("local_content/DD/dd/Both", "in both")
        .file("local_content/XX/xx/Deleted", "its row is gone")
        .file("local_thumbnails/BB/bb/Folder/32-32-image-png-crop", "thumb");
      const bucket = `media-${kind.replaceAll(" ", "-")}`;
      await server.makeBucket(bucket);
      for (const [path, content] of [
        ["local_content/CC/cc/Bucket", "in the bucket"],
        ["local_content/DD/dd/Both", "IN BOTH"],
        ["local_content/AA/aa/Here", "here"],
        ["local_content/FF/ff/Other", "short"],
        ["local_content/GG/gg/Large", "l".repeat(2_000_000)],
        ["local_content/zz/-_/Odd.[x]:1", "odd, and allowed"],
        ["local_content/XX/xx/Deleted", "its row is gone"],
        ["local_thumbnails/CC/cc/Bucket/32-32-image-png-crop", "another thumb"],
        ["local_thumbnails/XX/xx/Deleted/32-32-image-png-crop", "its row is gone"],
      ] as const)
        await server.put(bucket, `hs/${path}`, content);
      const objects = realObjectStores(signal).open({
        ...{ bucket, prefix: "hs/", endpoint: server.url },
        credentials: { accessKeyId: "lab", secretAccessKey: "lab" },
      });
      const providers = [folderProvider(backup.store, files), new BucketProvider(objects)];
      const { contents, listed, noticed } = await packed(home, database, { providers });
      assert.deepEqual(
        [...contents].map(([name, content]) => [name, content.slice(0, 20)]),
        [
          ["local_content/AA/aa/Here", "here"],
          ["local_content/BB/bb/Folder", "in the folder"],
          ["local_content/CC/cc/Bucket", "in the bucket"],
          ["local_content/DD/dd/Both", "in both"],
          ["local_content/GG/gg/Large", "l".repeat(20)],
          ["local_content/zz/-_/Odd.[x]:1", "odd, and allowed"],
          ["local_thumbnails/BB/bb/Folder/32-32-image-png-crop", "thumb"],
          ["local_thumbnails/CC/cc/Bucket/32-32-image-png-crop", "another thumb"],
        ],
      );
      assert.deepEqual(listed, ["local_content/AA/aa/Here", "local_content/DD/dd/Both"]);
      assert.deepEqual([noticed.provided, noticed.changedCount], [7, 0]);
      const list = await listOf(home, database, providers);
      const again = await packed(home, database, { providers, already: list });
      assert.deepEqual([...again.contents.keys()], ["local_content/AA/aa/Here"], "what was received once");
      await row("HHhhLater", "in the folder", 5000);
      backup.file("local_content/HH/hh/Later", "in the folder");
      const since = await packed(home, database, { providers, range: { since: 4000, days: [] } });
      assert.deepEqual([...since.contents.keys()], ["local_content/AA/aa/Here", "local_content/HH/hh/Later"]);
      for (const provider of providers) provider.close();
    });
  });
}
