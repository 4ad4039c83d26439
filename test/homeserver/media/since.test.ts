import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import fc from "fast-check";
import { compareMedia } from "../../../src/homeserver/media/compare/compare.ts";
import { readComparison, saveComparison } from "../../../src/homeserver/media/compare/compared-before.ts";
import { HashedList, openHashed } from "../../../src/homeserver/media/compare/hashed-before.ts";
import { compareSince, describeDays } from "../../../src/homeserver/media/compare/since.ts";
import { lookForTheLastTime, type LookOrder } from "../../../src/homeserver/media/pack/last-look.ts";
import { lookBeforehand, lookSince } from "../../../src/homeserver/media/pack/look-since.ts";
import { PackedList } from "../../../src/homeserver/media/pack/packed-list.ts";
import type { MediaSection } from "../../../src/homeserver/media/section.ts";
import { uploadPath } from "../../../src/homeserver/media/store/layout.ts";
import { verifyMediaOwners } from "../../../src/homeserver/media/store/owners.ts";
import { walkStore } from "../../../src/homeserver/media/store/store.ts";
import { compareToVerify, verifyMedia } from "../../../src/homeserver/media/verify.ts";
import { NOTHING_KEPT } from "../../../src/homeserver/scope.ts";
import { type Files, realFiles } from "../../../src/system/files/files.ts";
import type { PostgresSession } from "../../../src/system/postgres/postgres.ts";
import type { QuerySession } from "../../../src/system/query.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { addressIn } from "../../support/mini-synapse.ts";
import { postgres } from "../../support/moved-database.ts";
import { inTurn } from "../../../src/pipeline/in-turn.ts";
import { emptied, insert, mediaInPostgres } from "../../support/media-database.ts";

// What came since an earlier look at everything is found without another walk: the two have to tell the same.

const DAY = 86_400_000;
const { signal } = new AbortController();
const key = Buffer.from("a salt of some bundle");

let cluster: PostgresCluster;
let database: PostgresSession;
let session: QuerySession;
let store: string;
before(async () => {
  cluster = await PostgresCluster.start();
  session = await (await mediaInPostgres(cluster, "media", "new")).connect();
  database = await postgres.connect(addressIn(cluster, "media", "postgres"), { writes: true });
});
after(async () => {
  await session.close();
  await database.close();
  await cluster.stop();
});
beforeEach(begin);

async function begin(): Promise<void> {
  store = temporaryFolder("store");
  await database.run(emptied);
  for (let number = 0; number < 6; number += 1)
    await upload(idOf("Old", number), { days: 10 + (number % 2) });
}

const idOf = (kind: string, number: number) => `${"ABC"[number % 3]!}a${"xy"[number % 2]!}b${kind}${number}`;
const contentOf = (id: string) => `the content of ${id}`;
const sha256Of = (text: string) => createHash("sha256").update(text).digest("hex");
const thumbnailOf = (id: string) =>
  `${uploadPath(id)!.replace("local_content", "local_thumbnails")}/32-32-image-png-crop`;

interface How {
  /** Of its row, and of its file where nothing else is said. */
  readonly days?: number;
  readonly fileDays?: number;
  /** In its row. */
  readonly length?: number | null;
  readonly file?: boolean;
  readonly thumbnail?: boolean;
}

/** An upload of so many days ago: row, file and thumbnail. */
async function upload(
  id: string,
  { days = 0, fileDays = days, length = contentOf(id).length, file = true, thumbnail = true }: How = {},
): Promise<void> {
  const time = Date.now() - days * DAY;
  await database.run(
    insert("local_media_repository", [
      {
        media_id: id,
        media_length: length,
        created_ts: time,
        sha256: sha256Of(contentOf(id)),
        user_id: "@u:x",
      },
    ]),
  );
  const fileTime = Date.now() - fileDays * DAY;
  if (file) put(uploadPath(id)!, contentOf(id), fileTime);
  if (thumbnail) put(thumbnailOf(id), "small", fileTime);
}

function put(name: string, content: string, time = Date.now()): void {
  const path = join(store, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  utimesSync(path, time / 1000, time / 1000);
}

const remove = (name: string) => {
  rmSync(join(store, name), { force: true });
};

/** What is packed, as the first pass leaves it. */
async function packed(): Promise<LookOrder> {
  const list = new PackedList(key);
  for await (const file of walkStore(store, realFiles)) list.add(file);
  const path = join(temporaryFolder("list"), "media-packed.txt");
  writeFileSync(path, list.take());
  return {
    ...{ session, store, files: realFiles, signal, kept: NOTHING_KEPT, unreadableAccepted: false },
    ...{ providers: [], backup: [{ path, key }], archive: undefined },
  };
}

const now = () => Date.now();
const names = (files: readonly { readonly name: string }[] | undefined) => files?.map(({ name }) => name);
/** No walk is made: what is found is found by rows. */
const withoutWalk: Files = {
  ...realFiles,
  walk() {
    throw new Error("nothing may be walked through");
  },
};

const STEPS: Readonly<Record<string, (number: number) => Promise<unknown>>> = {
  "a new upload": (number) => upload(idOf("New", number)),
  "one without a thumbnail": (number) => upload(idOf("Plain", number), { thumbnail: false }),
  "one whose row was made days before its file": (number) =>
    upload(idOf("Late", number), { days: 5, fileDays: 0 }),
  "one that was put there with its old time": (number) => upload(idOf("Kept", number), { days: 6 }),
  "one whose clock was wrong": (number) => upload(idOf("Ahead", number), { days: -400 }),
  "an id that is reserved": (number) =>
    upload(idOf("Reserved", number), { length: null, file: false, thumbnail: false }),
  "one without a file": (number) => upload(idOf("Lost", number), { file: false }),
  "one of another size": (number) => upload(idOf("Short", number), { length: 3 }),
  "a thumbnail of a new one": async (number) => {
    await upload(idOf("Twice", number), { thumbnail: false });
    put(thumbnailOf(idOf("Twice", number)), "small");
  },
  "a new one that was deleted again": async (number) => {
    const id = idOf("Gone", number);
    await upload(id);
    await database.run(`DELETE FROM local_media_repository WHERE media_id = '${id}';`);
    remove(uploadPath(id)!);
    remove(thumbnailOf(id));
  },
};

test("a look by rows tells what a look at everything tells, whatever came before it and since", async () => {
  const step = fc.constantFrom(...Object.keys(STEPS));
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 6 }),
      fc.array(step, { maxLength: 8 }),
      async (first, since) => {
        await begin();
        const from = await packed();
        let number = 0;
        for (const name of first) await STEPS[name]!((number += 1));
        const looked = await lookBeforehand(from, { now });
        assert.ok(looked);
        for (const name of since) await STEPS[name]!((number += 1));
        const full = await lookForTheLastTime(from);
        const found = await lookSince(looked, { ...from, files: withoutWalk });
        assert.deepEqual(names(found.forBackup.all), names(full.forBackup.all));
        assert.equal(found.forBackup.elsewhere, false);
        assert.deepEqual(found.compared, full.compared);
        assert.deepEqual([found.state.files, found.state.bytes], [full.state.files, full.state.bytes]);
        assert.equal(found.state.digest === looked.look.state.digest, false);
      },
    ),
    { numRuns: 30 },
  );
});

test("what differed in the earlier look, and files that were not packed then, are looked at again", async () => {
  await upload(idOf("Missing", 1), { days: 20, file: false, thumbnail: false });
  const from = await packed();
  await upload(idOf("Growing", 2));
  put(uploadPath(idOf("Growing", 2))!, "the con");
  const looked = (await lookBeforehand(from, { now }))!;
  assert.deepEqual(looked.differing, [idOf("Missing", 1), idOf("Growing", 2)].sort());
  put(uploadPath(idOf("Missing", 1))!, contentOf(idOf("Missing", 1)));
  put(uploadPath(idOf("Growing", 2))!, contentOf(idOf("Growing", 2)));
  const full = await lookForTheLastTime(from);
  const found = await lookSince(looked, { ...from, files: withoutWalk });
  assert.equal(found.compared.differingCount, 0);
  assert.deepEqual(names(found.forBackup.all), names(full.forBackup.all));
  assert.deepEqual([found.state.files, found.state.bytes], [full.state.files, full.state.bytes]);
  for (const { name, size } of found.forBackup.all!)
    assert.equal(size, full.forBackup.all!.find((one) => one.name === name)?.size, name);
});

test("where rows do not tell what is new, everything is looked at", async () => {
  const from = await packed();
  const never = (more: Partial<LookOrder>) => lookBeforehand({ ...from, ...more }, { now });
  assert.equal(await never({ unreadableAccepted: true }), undefined);
  assert.equal(await never({ archive: [] }), undefined);
  assert.equal(await never({ kept: { ...NOTHING_KEPT, remote: true } }), undefined);
  const looked = (await lookBeforehand(from, { now }))!;
  const more = { ...looked, differing: Array.from({ length: 1001 }, (_, number) => `id${number}`) };
  const found = await lookSince(more, from);
  assert.deepEqual(found, await lookForTheLastTime(from));
});

const ids = (count: number, kind: string) => Array.from({ length: count }, (_, number) => idOf(kind, number));

test("of the uploads only those that came since are compared, and others at random by their size", async () => {
  const at = Date.now();
  const { days } = await describeDays(session);
  const read: string[] = [];
  const files: Files = {
    ...withoutWalk,
    read: (path, ...how) => (read.push(path), realFiles.read(path, ...how)),
  };
  const since = (sample: number, differing: readonly string[] = []) =>
    compareSince(
      { session, store, files },
      { at, days, differing },
      { hashes: true, tell: () => undefined, sample },
    );
  assert.deepEqual((await since(0))?.ids, []);
  assert.deepEqual((await since(100))?.ids, ids(6, "Old").sort());
  assert.deepEqual(read, []);

  await upload(idOf("New", 1));
  await upload(idOf("Late", 2), { days: 5 });
  const found = (await since(0, [idOf("Old", 3)]))!;
  assert.deepEqual(found.ids, [idOf("Late", 2), idOf("New", 1), idOf("Old", 3)].sort());
  assert.deepEqual([found.since, found.others, found.compared.hashed, found.compared.rows], [3, 0, 3, 8]);
  assert.equal(
    found.compared.bytes,
    (await compareMedia(session, store, realFiles, { hashes: true, tell: () => undefined })).bytes,
  );

  put(uploadPath(idOf("New", 1))!, "another CONTENT".padEnd(contentOf(idOf("New", 1)).length, "."));
  remove(uploadPath(idOf("Old", 4))!);
  const wrong = (await since(100))!;
  assert.deepEqual(wrong.compared.changed.some, [idOf("New", 1)]);
  assert.deepEqual(
    wrong.compared.differing.map(({ mediaId }) => mediaId),
    [idOf("Old", 4)],
  );
  // A day of which an upload was deleted is compared again as a whole.
  await database.run(`DELETE FROM local_media_repository WHERE media_id = '${idOf("Old", 0)}';`);
  assert.deepEqual(
    (await since(0))?.ids,
    [idOf("Late", 2), idOf("New", 1), idOf("Old", 2), idOf("Old", 4)].sort(),
  );
});

test("a file that came after its folder was walked through is not missing, and one of another size is looked at again", async () => {
  await upload(idOf("Lost", 1), { file: false });
  const compared = await compareMedia(session, store, realFiles, {
    hashes: true,
    tell: () => undefined,
    walked: inTurn([
      [
        {
          name: uploadPath(idOf("Old", 0))!.slice("local_content/".length),
          kind: "file",
          size: 3,
          mode: 0o600,
          mtimeMs: 1,
        },
      ],
    ]),
  });
  assert.deepEqual(
    compared.differing.map(({ mediaId, found }) => [mediaId, found]),
    [[idOf("Lost", 1), null]],
  );
  assert.deepEqual([compared.hashed, compared.changed.count], [6, 0]);
});

const OK: MediaSection = { files: 0, bytes: 0, rows: 6, rowBytes: 0, differing: [] };

test("the gates say what was compared when, and find what is missing, changed or another account's since", async () => {
  const list = join(temporaryFolder("hashed"), "list");
  const at = Date.now() + 60_000;
  const { days } = await describeDays(session);
  const hashed = await HashedList.begin(list, { at, store }, realFiles);
  await compareMedia(session, store, realFiles, {
    hashes: true,
    tell: () => undefined,
    note: hashed.add.bind(hashed),
  });
  await hashed.finish();
  const saved = { at, days, differing: [], hashed: 6, uid: process.getuid!() };
  const gates = async () => {
    const earlier = await openHashed(list, store, realFiles);
    const compared = await compareToVerify({
      ...{ session, store, files: withoutWalk, tell: () => undefined, earlier, before: saved },
    }).finally(() => earlier?.close());
    const judged = await verifyMedia(OK, compared, { session, store, before: saved });
    const since = { at, ids: compared.ids ?? [] };
    const owners = await verifyMediaOwners(
      store,
      { uid: saved.uid, name: "synapse" },
      { files: withoutWalk, signal, since },
    );
    return [...judged, owners];
  };
  const found = async (id: string) => (await gates()).find((one) => one.id === id)!;
  assert.match(
    (await found("media")).sentence,
    /6 were compared by hash on .*; now those that came since \(0\), and the size of 6 others/,
  );
  assert.match(
    (await found("media-owners")).sentence,
    /^all media in .* belonged to synapse on .*: 39 files and folders$/,
  );
  chmodSync(join(store, uploadPath(idOf("Old", 1))!), 0o666);
  assert.equal((await found("media-owners")).level, "blocker");
  remove(uploadPath(idOf("Old", 1))!);
  assert.match((await found("media")).sentence, /^1 of 6 uploads are missing or differ/);
  await upload(idOf("New", 1), { file: false });
  assert.match((await found("media")).sentence, /^2 of 7 uploads are missing or differ/);
});

test("a saved comparison counts for this store, this boot and one hour, and only where it can be read", async () => {
  const path = join(temporaryFolder("saved"), "media-compared.json");
  const clock = { boot: "one", milliseconds: 1000 };
  const host = { files: realFiles, machine: { sinceBoot: () => clock } };
  const content = { at: 5, days: { "1": "2 3 4" }, differing: ["x"], hashed: 2, uid: null };
  const read = (where = store, time: Partial<typeof clock> = {}) =>
    readComparison(path, where, { files: realFiles, machine: { sinceBoot: () => ({ ...clock, ...time }) } });
  assert.equal(await read(), undefined);
  await saveComparison(path, { ...content, store }, host);
  assert.deepEqual(await read(), content);
  assert.deepEqual(await read(store, { milliseconds: 3_600_000 }), content);
  assert.equal(await read(store, { milliseconds: 3_601_001 }), undefined);
  assert.equal(await read(store, { milliseconds: 0 }), undefined);
  assert.equal(await read(store, { boot: "another" }), undefined);
  assert.equal(await read(`${store}2`), undefined);
  for (const text of ["", "{}", "no JSON"]) {
    writeFileSync(path, text);
    assert.equal(await read(), undefined, text);
  }
});
