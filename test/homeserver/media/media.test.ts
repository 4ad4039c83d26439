import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import type { ArtifactWriter } from "../../../src/bundle/artifact-writer.ts";
import { Inventory } from "../../../src/bundle/inventory.ts";
import { HashedList, openHashed } from "../../../src/homeserver/media/compare/hashed-before.ts";
import { compareMedia } from "../../../src/homeserver/media/compare/compare.ts";
import { exportMediaSince } from "../../../src/homeserver/media/export-since.ts";
import {
  assertUploadsPresent,
  assertUploadsUnchanged,
  exportMedia,
  type MediaAccess,
  type PackedFirst,
} from "../../../src/homeserver/media/export.ts";
import { SharedReads } from "../../../src/homeserver/media/pack/shared-reads.ts";
import { assertReadableNow } from "../../../src/homeserver/media/pack/unreadable.ts";
import { type MediaSection, mediaSectionSchema } from "../../../src/homeserver/media/section.ts";
import { BoundedList } from "../../../src/homeserver/media/store/bounded-list.ts";
import { isStorePath, uploadPath } from "../../../src/homeserver/media/store/layout.ts";
import { storeState, walkStore } from "../../../src/homeserver/media/store/store.ts";
import { compareToVerify, verifyMedia } from "../../../src/homeserver/media/verify.ts";
import { type Kept, NOTHING_KEPT } from "../../../src/homeserver/scope.ts";
import { assertRegularFiles } from "../../../src/move/export/source.ts";
import { unpackTar } from "../../../src/pipeline/tar.ts";
import { type Files, realFiles, realFiles as files } from "../../../src/system/files/files.ts";
import type { Machine } from "../../../src/system/machine.ts";
import type { PostgresAddress } from "../../../src/system/postgres/postgres.ts";
import { asNobody } from "../../support/as-nobody.ts";
import { onBadDisk } from "../../support/bad-disk.ts";
import { chunked, flipped } from "../../support/bytes.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { makeMiniSynapse, uploadBytes, UPLOADS } from "../../support/mini-synapse.ts";
import { lock, postgres } from "../../support/moved-database.ts";
import { still, writerIn } from "../../support/small-bundle.ts";
import { smallFilesBy } from "../../support/small-files.ts";

let cluster: PostgresCluster;
let address: PostgresAddress;

before(async () => {
  cluster = await PostgresCluster.start();
  address = await makeMiniSynapse(cluster, "synapse");
  const sha256 = createHash("sha256").update(uploadBytes(1)).digest("hex");
  await cluster.sql(
    "synapse",
    `update local_media_repository set sha256 = '${sha256}' where media_id = '${UPLOADS[1]}'`,
  );
});
after(() => cluster.stop());

const HOUR = 3_600_000;
const pathOf = (store: string, index: number) => join(store, uploadPath(UPLOADS[index]!)!);

function put(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** A store with every upload in its place, a thumbnail, and remote media that stays behind. */
function newStore(): string {
  const store = temporaryFolder("store");
  UPLOADS.forEach((_, index) => {
    put(pathOf(store, index), uploadBytes(index));
  });
  put(join(store, "local_thumbnails/AA/aa/FirstUpload/32-32-image-png-crop"), "thumb");
  put(join(store, "remote_content/far.example/re/mo/te"), "stays behind");
  put(join(store, "url_cache/2026-01-02/x"), "stays behind");
  return store;
}

async function withSession<T>(
  act: (session: Awaited<ReturnType<typeof postgres.connect>>) => Promise<T>,
): Promise<T> {
  const session = await postgres.connect(address);
  return act(session).finally(() => session.close());
}

const compared = (store: string) =>
  withSession((session) => compareMedia(session, store, files, { hashes: true, tell: () => undefined }));

const NOTHING_LOST: MediaSection = { files: 4, bytes: 6005, rows: 3, rowBytes: 6000, differing: [] };
const verified = (store: string, section = NOTHING_LOST) =>
  withSession(async (session) => {
    const compared = await compareToVerify({ session, store, files, tell: () => undefined });
    return verifyMedia(section, compared, { session, store });
  });

async function namesIn(store: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of walkStore(store, files)) names.push(name);
  return names;
}

test("uploads that were compared by hash before are read again only where they have changed since", async () => {
  const store = newStore();
  const path = join(temporaryFolder("hashed"), "list");
  const seen = async () => {
    const before = await openHashed(path, store, files);
    const found = await withSession((session) =>
      compareMedia(session, store, files, { hashes: true, tell: () => undefined, before }),
    );
    await before?.close();
    return { hashed: found.hashed, before: found.hashedBefore, changed: found.changed.count };
  };
  const { hashed: all } = await compared(store);
  assert.ok(all > 0);
  assert.deepEqual(await seen(), { hashed: all, before: 0, changed: 0 }, "there is no list");
  // As if it were an hour later.
  const list = await HashedList.begin(path, { at: Date.now() + HOUR, store }, files);
  await withSession((session) =>
    compareMedia(session, store, files, {
      hashes: true,
      tell: () => undefined,
      note: list.add.bind(list),
    }),
  );
  await list.finish();
  assert.deepEqual(await seen(), { hashed: 0, before: all, changed: 0 });
  const lines = readFileSync(path, "utf8").split("\n");
  const write = (text: string) => {
    writeFileSync(path, text);
  };
  write(lines.toSpliced(1, 1).join("\n"));
  assert.deepEqual(
    await seen(),
    { hashed: 1, before: all - 1, changed: 0 },
    "one that the list does not have",
  );
  write(lines.join("\n").replace(/ [0-9a-f]{64}\n/, ` ${"0".repeat(64)}\n`));
  assert.deepEqual(
    await seen(),
    { hashed: 1, before: all - 1, changed: 0 },
    "another hash than its row has now",
  );
  write(lines.join("\n").replace(/"at":[0-9]+/, '"at":1000'));
  assert.deepEqual(await seen(), { hashed: all, before: 0, changed: 0 }, "all have changed since");
  for (const broken of ["", "{}\n", "not JSON\n", lines.join("\n").replace(store, `${store}2`)]) {
    write(broken);
    assert.deepEqual(await seen(), { hashed: all, before: 0, changed: 0 }, JSON.stringify(broken));
  }
});

test("only local media is walked, in the same order everywhere", async () => {
  assert.deepEqual(await namesIn(newStore()), [
    ...UPLOADS.map((id) => uploadPath(id)!),
    "local_thumbnails/AA/aa/FirstUpload/32-32-image-png-crop",
  ]);
  assert.deepEqual(await namesIn(temporaryFolder("empty-store")), []);
});

test("links and other oddities in a store are told and never followed", async () => {
  const store = newStore();
  const elsewhere = temporaryFolder("elsewhere");
  put(join(elsewhere, "private"), "not media");
  symlinkSync(elsewhere, join(store, "local_content/folder-link"));
  symlinkSync(join(elsewhere, "private"), join(store, "local_content/AA/file-link"));
  symlinkSync(join(store, "local_content"), join(store, "local_content/loop"));
  const state = await storeState(store, files);
  assert.equal(state.files, 4);
  assert.deepEqual(state.odd.some, [
    "local_content/AA/file-link",
    "local_content/folder-link",
    "local_content/loop",
  ]);
});

test("a store's digest changes when a file comes, goes, grows or is written again", async () => {
  const store = newStore();
  const seen = new Set<string>();
  const look = async () => seen.add((await storeState(store, files)).digest).size;
  assert.equal(await look(), 1);
  assert.equal(await look(), 1, "and not by itself");
  put(join(store, "local_content/zz/zz/new"), "x");
  assert.equal(await look(), 2);
  put(join(store, "local_content/zz/zz/new"), "xy");
  assert.equal(await look(), 3);
  await files.setTimes(join(store, "local_content/zz/zz/new"), 1_000_000);
  assert.equal(await look(), 4);
  rmSync(pathOf(store, 0));
  assert.equal(await look(), 5);
});

test("a whole store fits its rows, and reserved ids and previews are no fault", async () => {
  assert.deepEqual(await compared(newStore()), {
    rows: 3,
    bytes: 6000,
    provided: { files: 0, bytes: 0 },
    differing: [],
    differingCount: 0,
    differingDigest: createHash("sha256").digest("hex"),
    changed: new BoundedList(100_000),
    hashed: 1,
    hashedBefore: 0,
    unseen: 0,
  });
});

test("missing, truncated, replaced and changed uploads are found by their id", async () => {
  const store = newStore();
  rmSync(pathOf(store, 0));
  writeFileSync(pathOf(store, 1), flipped(uploadBytes(1), 5));
  truncateSync(pathOf(store, 2), 2999);
  const found = await compared(store);
  assert.deepEqual(found.differing, [
    { mediaId: UPLOADS[0], expected: 1000, found: null, uploader: "@alice:example.org" },
    { mediaId: UPLOADS[2], expected: 3000, found: 2999, uploader: "@alice:example.org" },
  ]);
  assert.deepEqual(found.changed.some, [UPLOADS[1]]);
  rmSync(pathOf(store, 2));
  symlinkSync("/etc/passwd", pathOf(store, 2));
  assert.equal((await compared(store)).differing[1]?.found, null, "a link is no upload");
});

test("the gate for media names each upload that is not as it was", async () => {
  const store = newStore();
  const [fine] = await verified(store);
  assert.deepEqual([fine?.id, fine?.level], ["media", "ok"]);
  rmSync(pathOf(store, 0));
  writeFileSync(pathOf(store, 1), flipped(uploadBytes(1), 5));
  const [media] = await verified(store);
  assert.equal(media?.level, "blocker");
  assert.deepEqual(media.evidence, [
    `${UPLOADS[0]}: 1000 bytes by its row, no file; from @alice:example.org`,
    `${UPLOADS[1]}: its hash is not the one in its row`,
  ]);
  const known = { ...NOTHING_LOST, differing: [{ mediaId: UPLOADS[0], expected: 1000, found: null }] };
  writeFileSync(pathOf(store, 1), uploadBytes(1));
  assert.deepEqual((await verified(store, known)).map(({ id, level }) => `${level} ${id}`).slice(0, 2), [
    "ok media",
    "note media-missing",
  ]);
});

test("where more were other files at the source than are named, so many may be, and not one more", async () => {
  const store = newStore();
  writeFileSync(pathOf(store, 1), flipped(uploadBytes(1), 5));
  const first = async (changedCount: number) =>
    (await verified(store, { ...NOTHING_LOST, changed: ["elsewhere"], changedCount })).slice(0, 2);
  const excused = await first(2);
  assert.deepEqual(
    excused.map(({ id, level }) => `${level} ${id}`),
    ["ok media", "note media-changed"],
  );
  assert.match(excused[1]!.sentence, /^the hashes of 2 uploads already differed/);
  const [media] = await first(1);
  assert.deepEqual(
    [media?.level, media?.evidence],
    ["blocker", [`${UPLOADS[1]}: its hash is not the one in its row`]],
  );
});

test("the gate for remote media stops while rows are left whose files stayed behind", async () => {
  const store = newStore();
  const remote = (await verified(store)).find(({ id }) => id === "remote-media");
  assert.equal(remote?.level, "blocker");
  assert.deepEqual(remote.evidence?.map((line) => line.replace(/:.*/, "")).sort(), [
    "local_media_repository",
    "local_media_repository_thumbnails",
    "local_media_repository_url_cache",
    "remote_media_cache",
    "remote_media_cache_thumbnails",
  ]);
});

interface Exporting {
  readonly kept?: Kept;
  readonly files?: Files;
  readonly unreadable?: boolean;
  readonly machine?: Pick<Machine, "now">;
}

/** What both passes are given; `folder` is that of their bundle. */
function exporting(
  store: string,
  accepted: boolean,
  { kept = NOTHING_KEPT, files = realFiles, unreadable = false, machine = still }: Exporting = {},
) {
  const inventory = Inventory.begin(still, false);
  const folder = temporaryFolder("bundle");
  const { signal } = new AbortController();
  const shared = {
    ...{ store, folder, inputs: {}, accepted, files, machine, inventory, signal, kept },
    unreadableAccepted: unreadable,
    compare: () =>
      withSession((session) =>
        compareMedia(session, store, files, { hashes: false, tell: () => undefined, closed: unreadable }),
      ),
    withAccess: <T>(act: (reach: MediaAccess) => Promise<T>) =>
      withSession((session) => act({ session, providers: [] })),
    into: writerIn(folder, lock),
    saved: () => Promise.resolve(),
    findFault: () => Promise.resolve(undefined),
    shared: new SharedReads(),
  };
  shared.shared.leave("archive");
  return shared;
}

async function exported(store: string, accepted: boolean, how: Exporting = {}): Promise<MediaSection> {
  const shared = exporting(store, accepted, how);
  const { folder, inventory, files } = shared;
  const state = await storeState(store, files);
  const outcome = await exportMedia({ ...shared, total: state.bytes, serving: false }).run();
  const first = { ...(outcome as unknown as PackedFirst), settled: true };
  assertUploadsUnchanged(first, shared);
  await assertReadableNow(first.unreadable, shared);
  await exportMediaSince({ ...shared, state, packs: true, first }).run();
  assert.deepEqual(
    readdirSync(folder).filter((name) => name !== "customer_backup_media_export_since.tar.gz.gpg"),
    ["customer_backup_media_export.tar.gz.gpg", "media-packed.txt"],
  );
  return mediaSectionSchema.parse(inventory.section("media"));
}

test("an export stops when uploads are missing, and goes on when somebody accepted it", async () => {
  const store = newStore();
  const { differingDigest, ...whole } = await exported(store, false);
  assert.equal(differingDigest, createHash("sha256").digest("hex"));
  assert.deepEqual(whole, { ...NOTHING_LOST, differingCount: 0, changed: [] });
  rmSync(pathOf(store, 0));
  await assert.rejects(exported(store, false), {
    code: "media-missing",
    message: new RegExp(`1 of 3 uploads.*${UPLOADS[0]}: 1000 bytes by its row, no file`),
    hint: /--accept media-missing/,
  });
  const section = await exported(store, true);
  assert.deepEqual(section.differing, [
    { mediaId: UPLOADS[0], expected: 1000, found: null, uploader: "@alice:example.org" },
  ]);
  assert.equal(section.files, 3);
});

test("files that cannot be read are named and counted, an export stops, and goes on without them when somebody accepted it", async () => {
  const store = newStore();
  const bad = onBadDisk({ [pathOf(store, 0)]: 0, [pathOf(store, 2)]: 1500 });
  const names = [uploadPath(UPLOADS[0])!, uploadPath(UPLOADS[2])!];
  await assert.rejects(exported(store, false, { files: bad }), {
    code: "media-missing",
    message: new RegExp(`cannot be read: 2: ${names.join(", ")}$`),
    hint: /--accept media-unreadable/,
  });
  const section = await exported(store, false, { files: bad, unreadable: true });
  assert.deepEqual(
    [section.unreadable, section.unreadableCount, section.files, section.bytes, section.differing],
    [names, 2, 3, 5005, []],
  );
  rmSync(pathOf(store, 0));
  writeFileSync(pathOf(store, 2), Buffer.alloc(3000));
  const findings = await verified(store, section);
  assert.deepEqual(
    findings.slice(0, 2).map(({ id, level }) => `${level} ${id}`),
    ["ok media", "note media-unreadable"],
  );
  assert.deepEqual(findings[1]?.evidence, names);
  rmSync(pathOf(store, 1));
  assert.equal((await verified(store, section))[0]?.level, "blocker", "and nothing else may be missing");
});

test("what can be read again by the time somebody runs it again is no fault", async () => {
  const store = newStore();
  await assertReadableNow([uploadPath(UPLOADS[0])!, "local_content/go/ne/away"], {
    ...{ store, files, unreadableAccepted: false },
  });
  const bad = onBadDisk({ [pathOf(store, 0)]: 500 });
  await assert.rejects(
    assertReadableNow([uploadPath(UPLOADS[0])!], { store, files: bad, unreadableAccepted: false }),
    { code: "media-missing" },
  );
});

test("a folder that nobody may look into stops an export by its name, and what lies in it is listed when that was accepted", async () => {
  const store = newStore();
  const closed = join(store, "local_content", UPLOADS[0].slice(0, 2));
  chmodSync(closed, 0o000);
  await asNobody(async () => {
    const state = await storeState(store, files);
    assert.deepEqual(state.closed.some, [`local_content/${UPLOADS[0].slice(0, 2)}`]);
    assert.throws(
      () => {
        assertRegularFiles(state, store, []);
      },
      { code: "media-missing", message: /cannot be read: 1: local_content\//, hint: /media-unreadable/ },
    );
    assertRegularFiles(state, store, ["media-unreadable"]);
    const found = await withSession((session) =>
      compareMedia(session, store, files, { hashes: false, tell: () => undefined, closed: true }),
    );
    assert.deepEqual(
      [found.differing.map(({ mediaId }) => mediaId).includes(UPLOADS[0]), found.unseen > 0],
      [true, true],
    );
    assertUploadsPresent(found, { store, accepted: false });
  });
});

test("a store that goes away while it is packed is found out while the server serves", async () => {
  const store = newStore();
  const state = await storeState(store, files);
  const walking: Files = {
    ...realFiles,
    async *read(path, range) {
      // The disk is unmounted once the first file is being read.
      yield* realFiles.read(path, range);
      if (path === pathOf(store, 0)) rmSync(join(store, "local_content"), { recursive: true });
    },
    ...smallFilesBy({ ...realFiles, read: (path, range) => walking.read(path, range) }),
  };
  const folder = temporaryFolder("bundle");
  const shared = new SharedReads();
  shared.leave("archive");
  await assert.rejects(
    exportMedia({
      ...{ store, folder, inputs: {}, accepted: false, unreadableAccepted: false, files: walking, shared },
      machine: { now: () => Date.now() + 3_600_000 },
      ...{ inventory: Inventory.begin(still, false), kept: NOTHING_KEPT },
      ...{ total: state.bytes, serving: true, signal: new AbortController().signal },
      compare: () => compared(store),
      withAccess: (act) => withSession((session) => act({ session, providers: [] })),
      into: writerIn(folder, lock),
      saved: () => Promise.resolve(),
      findFault: () => Promise.resolve(undefined),
    }).run(),
    { code: "media-missing", message: /3 of 3 uploads have no file/ },
  );
  assert.equal(existsSync(join(folder, "media-packed.txt")), false);
});

test("with the clock set back between the two passes, the outage packs what is not packed yet, and nothing again", async () => {
  const store = newStore();
  const [before, setBack] = [Date.UTC(2026, 10, 30), Date.UTC(2020, 0, 1)];
  const written = (name: string, at: number, content = "thumb") => {
    put(join(store, name), content);
    utimesSync(join(store, name), at / 1000, at / 1000);
  };
  UPLOADS.forEach((_, index) => {
    utimesSync(pathOf(store, index), before / 1000, before / 1000);
  });
  const thumbnails = "local_thumbnails/AA/aa/FirstUpload";
  written(`${thumbnails}/32-32-image-png-crop`, before);
  written(`${thumbnails}/rewritten`, before, "first");
  // It may still be written to when it is found: it is left for the outage.
  written(`${thumbnails}/new`, before + HOUR);
  const clock = { now: before + HOUR };
  const given = exporting(store, false, { machine: { now: () => clock.now } });
  const passes: string[][] = [];
  const into: ArtifactWriter = {
    usesCompressionProgram: given.into.usesCompressionProgram,
    async add(plan, source) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of source) chunks.push(Uint8Array.from(chunk));
      const names: string[] = [];
      for await (const { name } of unpackTar(chunked(Buffer.concat(chunks)))) names.push(name);
      passes.push(names);
      return given.into.add(plan, chunked(Buffer.concat(chunks)));
    },
    addCompressed: () => assert.fail("nothing comes compressed"),
    remove: (name) => given.into.remove(name),
  };
  const { bytes: total } = await storeState(store, files);
  const first = await exportMedia({ ...given, into, total, serving: true }).run();
  clock.now = setBack;
  written(`${thumbnails}/came-since`, setBack);
  written(`${thumbnails}/rewritten`, setBack, "later");
  const state = await storeState(store, files);
  await exportMediaSince({
    ...{ ...given, into, state, packs: true },
    first: { ...(first as unknown as PackedFirst), settled: false },
  }).run();
  assert.deepEqual(passes, [
    [
      ...UPLOADS.map((id) => uploadPath(id)!),
      `${thumbnails}/32-32-image-png-crop`,
      `${thumbnails}/rewritten`,
    ],
    ["came-since", "new", "rewritten"].map((name) => `${thumbnails}/${name}`),
  ]);
});

test("an export finds an upload that is another file by its hash, and stops until somebody accepts it", async () => {
  const store = newStore();
  writeFileSync(pathOf(store, 1), flipped(uploadBytes(1), 5));
  await assert.rejects(exported(store, false), {
    code: "media-missing",
    message: new RegExp(`1 uploads .* are not the files that were uploaded.*: ${UPLOADS[1]}`),
    hint: /--accept media-missing/,
  });
  const section = await exported(store, true);
  assert.deepEqual([section.differing, section.changed], [[], [UPLOADS[1]]]);
  const findings = await verified(store, section);
  assert.deepEqual(
    findings.slice(0, 2).map(({ id, level }) => `${id} ${level}`),
    ["media ok", "media-changed note"],
  );
});

test("of very many uploads that are lost, those named and the digest of all decide", async () => {
  const store = newStore();
  for (const index of [0, 1, 2]) rmSync(pathOf(store, index));
  const { differing, differingCount, differingDigest } = await compared(store);
  const section = { ...NOTHING_LOST, differing: differing.slice(0, 1), differingCount, differingDigest };
  assert.equal((await verified(store, section))[0]?.level, "ok");
  const other = await verified(store, { ...section, differingDigest: "another" });
  assert.equal(other[0]?.level, "blocker");
  writeFileSync(pathOf(store, 2), "other");
  assert.equal((await verified(store, section))[0]?.level, "blocker");
});

test("where an upload lies is where Synapse puts it, and no id leads anywhere else", () => {
  assert.equal(uploadPath("AbCdEfGhIj"), "local_content/Ab/Cd/EfGhIj");
  for (const id of [
    "",
    "abcd",
    "../../etc",
    "ab/cd/ef",
    "....x",
    "ab..",
    "abcd..",
    "ab..x\0",
    "a b c d e",
    "äbcdef",
  ]) {
    const path = uploadPath(id);
    assert.ok(path === undefined || isStorePath(path), id);
    if (/[/\0 ä]/.test(id) || id.length < 5) assert.equal(path, undefined, id);
  }
  assert.equal(uploadPath("....x"), undefined);
});
