import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { Inventory } from "../../../../src/bundle/inventory.ts";
import { exportArchives } from "../../../../src/homeserver/media/archive/export.ts";
import { ARCHIVE_STEP, folderOfArchive } from "../../../../src/homeserver/media/archive/names.ts";
import { quarantineFindings } from "../../../../src/homeserver/media/archive/quarantined.ts";
import { packedArchives } from "../../../../src/homeserver/media/archive/section.ts";
import { ARCHIVE_SIZES, type ArchiveSizes } from "../../../../src/homeserver/media/archive/write.ts";
import { exportMedia, type MediaAccess } from "../../../../src/homeserver/media/export.ts";
import { lossesIn } from "../../../../src/homeserver/media/losses.ts";
import { SharedReads } from "../../../../src/homeserver/media/pack/shared-reads.ts";
import {
  folderProvider,
  type ReadableProvider,
} from "../../../../src/homeserver/media/providers/provider.ts";
import type { FirstRows, RowsPerDay } from "../../../../src/homeserver/media/providers/row-range.ts";
import type { Differing } from "../../../../src/homeserver/media/section.ts";
import { uploadPath } from "../../../../src/homeserver/media/store/layout.ts";
import { NOTHING_KEPT } from "../../../../src/homeserver/scope.ts";
import { Journal } from "../../../../src/journal/journal.ts";
import { runStepsInParallel } from "../../../../src/journal/run-steps.ts";
import { decompress } from "../../../../src/pipeline/compress.ts";
import { decryptWith } from "../../../../src/pipeline/encrypt.ts";
import { unpackTar } from "../../../../src/pipeline/tar.ts";
import { type Files, realFiles, SMALL_FILE } from "../../../../src/system/files/files.ts";
import { noProgress } from "../../../../src/system/progress.ts";
import { onBadDisk } from "../../../support/bad-disk.ts";
import { noise } from "../../../support/bytes.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { insert, type MediaDatabase, mediaInSqlite } from "../../../support/media-database.ts";
import { lockWith } from "../../../support/real-world.ts";
import { still, writerIn } from "../../../support/small-bundle.ts";
import { smallFilesBy } from "../../../support/small-files.ts";
import { opened, ORIGIN, sourceOf } from "./uploads.ts";

const lock = lockWith();
const MEDIA = "customer_media_export.tar.gz.gpg";
const BACKUP = "customer_backup_media_export.tar.gz.gpg";

const idOf = (number: number) => `Upload${String(number).padStart(6, "0")}xyz`;
const bytesOf = (number: number) => noise(1000 + number, number + 1);

/** A store and its database, packed into a bundle's folder as often as wanted. */
class World {
  readonly store = temporaryFolder("store");
  readonly folder = temporaryFolder("bundle");
  readonly database: MediaDatabase = mediaInSqlite("new");
  readonly inventory = Inventory.begin(still, false);
  readonly reads = new Map<string, number>();
  providers: ReadableProvider[] = [];
  /** Files that break off after so many bytes. */
  bad: Readonly<Record<string, number>> = {};
  /** Bytes up to which files are read in one piece. */
  smallest = SMALL_FILE;
  /** Called when a file is about to be read. */
  onRead: (path: string) => void = () => undefined;
  now = Date.now();

  async add(number: number, more: Readonly<Record<string, string | number | null>> = {}): Promise<void> {
    const content = bytesOf(number);
    this.put(uploadPath(idOf(number))!, content);
    this.put(
      uploadPath(idOf(number))!.replace("local_content", "local_thumbnails") + "/32-32-image-png-crop",
      "t",
    );
    await this.row(idOf(number), { media_length: content.length, ...more });
  }

  row(id: string, more: Readonly<Record<string, string | number | null>> = {}): Promise<void> {
    const row = {
      media_id: id,
      media_type: "image/png",
      created_ts: 1_690_000_000_000,
      user_id: `@nora:${ORIGIN}`,
    };
    return this.database.run(insert("local_media_repository", [{ ...row, ...more }]));
  }

  put(name: string, content: string | Uint8Array): void {
    mkdirSync(dirname(join(this.store, name)), { recursive: true });
    writeFileSync(join(this.store, name), content);
  }

  get files(): Files {
    const files: Files = {
      ...realFiles,
      read: (path, range) => {
        if (path.startsWith(this.store)) {
          this.onRead(path);
          this.reads.set(path, (this.reads.get(path) ?? 0) + 1);
        }
        return onBadDisk(this.bad).read(path, range);
      },
    };
    return { ...files, ...smallFilesBy(files, this.smallest) };
  }

  async pack(
    wanted: ("backup" | "archive")[],
    {
      pass = "first",
      serving = false,
      sizes = {},
      signal,
      first,
      accepted = false,
      differing = [],
    }: {
      accepted?: boolean;
      differing?: Differing[];
      pass?: "first" | "since";
      serving?: boolean;
      sizes?: Partial<ArchiveSizes>;
      signal?: AbortSignal;
      first?: FirstRows;
    } = {},
  ): Promise<Set<string>> {
    const journal = await Journal.open(join(this.folder, "journal.json"), realFiles);
    const session = await this.database.connect();
    const shared = new SharedReads();
    const done = new Set<string>();
    const common = {
      ...{
        store: this.store,
        folder: this.folder,
        files: this.files,
        inventory: this.inventory,
        shared,
        serving,
      },
      ...{
        inputs: {},
        accepted,
        unreadableAccepted: false,
        machine: machineWith({ now: () => this.now }),
        journal,
      },
      signal: signal ?? new AbortController().signal,
      into: writerIn(this.folder, lock),
      withAccess: <T>(act: (reach: MediaAccess) => Promise<T>) => act({ session, providers: this.providers }),
      compare: () =>
        Promise.resolve({
          differing,
          differingCount: differing.length,
          unseen: 0,
          provided: { bytes: 0 },
        } as never),
      saved: () => Promise.resolve(),
      findFault: () => Promise.resolve(undefined),
      progress: { remark: ({ id }: { id: string }, what: string) => void done.add(`${id}: ${what}`) },
    };
    const steps = [
      ...(wanted.includes("backup") ? [exportMedia({ ...common, kept: NOTHING_KEPT, total: 0 })] : []),
      ...(wanted.includes("archive")
        ? [
            exportArchives({
              ...common,
              pass,
              ...(first === undefined ? {} : { first }),
              serverName: ORIGIN,
              sizes: { ...ARCHIVE_SIZES, ...sizes },
            }),
          ]
        : []),
    ];
    if (!wanted.includes("backup")) shared.leave("backup");
    if (!wanted.includes("archive")) shared.leave("archive");
    try {
      await runStepsInParallel(
        steps,
        {
          journal,
          progress: { ...noProgress, ...common.progress },
          signal: common.signal,
          now: () => this.now,
        },
        {
          failed: (error) => {
            shared.fail(error);
          },
          skipped: ({ id }) => {
            shared.leave(id === "export/media" ? "backup" : "archive");
          },
        },
      );
    } finally {
      await session.close();
    }
    return done;
  }

  /** What the journal says of a step. */
  async outcome(step: string): Promise<Readonly<Record<string, unknown>>> {
    const { steps } = await Journal.open(join(this.folder, "journal.json"), realFiles);
    return steps[step]!.outcome;
  }

  plain(name: string) {
    return decompress(decryptWith(lock)(realFiles.read(join(this.folder, name))));
  }

  async archive(name: string) {
    return opened(sourceOf(new Uint8Array(), () => this.plain(name)));
  }

  /** Numbers of the uploads in each archive, each of which is there once and is the file that was uploaded. */
  async numbers(): Promise<Record<string, number[]>> {
    const found: Record<string, number[]> = {};
    for (const name of readdirSync(this.folder)) {
      const folder = folderOfArchive(name);
      if (folder === undefined) continue;
      const { read, contents } = await this.archive(name);
      assert.deepEqual([read.wrong, read.missing], [[], []]);
      const packed = packedArchives(this.inventory).find((one) => one.folder === folder);
      assert.equal(packed?.records, contents.size);
      for (const [id, content] of contents) {
        const uploaded = bytesOf(Number(id.slice(6, 12)));
        assert.ok(content.subarray(0, uploaded.length).equals(uploaded), id);
      }
      found[folder] = [...contents.keys()].map((id) => Number(id.slice(6, 12)));
    }
    return found;
  }
}

async function worldOf(count: number): Promise<World> {
  const world = new World();
  for (let number = 0; number < count; number++) await world.add(number);
  return world;
}

test("backup and archive are made of one read of each file", async () => {
  const world = await worldOf(30);
  await world.pack(["backup", "archive"]);
  assert.deepEqual(await world.numbers(), {
    customer_media_export: Array.from({ length: 30 }, (_, index) => index),
  });
  const { contents } = await world.archive(MEDIA);
  for (const [id, content] of contents) assert.ok(content.equals(bytesOf(Number(id.slice(6, 12)))), id);
  const names: string[] = [];
  for await (const { name } of unpackTar(world.plain(BACKUP))) names.push(name);
  assert.equal(names.length, 60);
  assert.equal(world.reads.size, 60);
  assert.deepEqual([...new Set(world.reads.values())], [1]);
});

test("what is no upload stays out of an archive: reserved ids, files without a row, previews, links, thumbnails", async () => {
  const world = await worldOf(2);
  await world.row("ReservedReserved", {});
  // It is being uploaded now.
  world.put(uploadPath("ReservedReserved")!, "half");
  // Between two that have rows.
  world.put(uploadPath(idOf(0).replace("xyz", "zzz"))!, "nobody's either");
  await world.row("2026-11-25_preview", { url_cache: "https://example.org", media_length: 3 });
  await world.row("LinkLinkLinkLink", { media_length: 4 });
  world.put("url_cache/2026-11-25/preview", "pre");
  world.put("local_content/No/Ro/wNoRowNoRow", "nobody's");
  writeFileSync(join(world.store, "outside"), "outs");
  mkdirSync(join(world.store, "local_content/Li/nk"), { recursive: true });
  symlinkSync(join(world.store, "outside"), join(world.store, uploadPath("LinkLinkLinkLink")!));
  await world.pack(["archive"]);
  assert.deepEqual(await world.numbers(), { customer_media_export: [0, 1] });
});

test("what is quarantined is packed, with its flag in the inventory and in the manifest", async () => {
  const world = await worldOf(2);
  await world.add(2, {
    quarantined_by: `@admin:${ORIGIN}`,
    authenticated: 1,
    last_access_ts: 1_700_000_000_000,
  });
  await world.pack(["archive"]);
  assert.deepEqual(packedArchives(world.inventory), [
    { folder: "customer_media_export", records: 3, bytes: 3003, quarantined: [idOf(2)] },
  ]);
  const { manifest } = await world.archive(MEDIA);
  assert.deepEqual(manifest.byFile.get(`3-${idOf(2)}`)![0]!.synlift, {
    quarantined_by: `@admin:${ORIGIN}`,
    authenticated: true,
    last_access_ts: 1_700_000_000_000,
  });
});

test("the calls that set a quarantine again are named, as the importer does not know of it", () => {
  const [finding] = quarantineFindings(["One", "Two"], "example.org", { shown: 1, list: "/list" });
  assert.deepEqual(finding?.evidence, [
    "POST /_matrix/media/unstable/admin/quarantine/example.org/One",
    "and 1 more",
  ]);
  assert.match(finding.hint!, /all IDs are in \/list/);
  assert.deepEqual(quarantineFindings([], "example.org"), []);
});

test("an interruption costs one archive, and what one artifact has finished is not made again for the other", async () => {
  const world = await worldOf(12);
  const sizes = { archive: 4100, part: 2000 };
  // Each is read when its turn comes, and none ahead.
  world.smallest = 0;
  world.onRead = (path) => {
    if (path.endsWith("9xyz")) throw new Error("pulled the plug");
  };
  await assert.rejects(world.pack(["backup", "archive"], { sizes }), /pulled the plug/);
  assert.deepEqual(await world.numbers(), {
    customer_media_export: [0, 1, 2, 3],
    "customer_media_export-2": [4, 5, 6, 7],
  });
  world.onRead = () => undefined;
  world.reads.clear();
  const told = await world.pack(["archive"], { sizes });
  assert.ok(
    told.has("export/media-archive/1: already done") && told.has("export/media-archive/2: already done"),
  );
  assert.deepEqual(await world.numbers(), {
    customer_media_export: [0, 1, 2, 3],
    "customer_media_export-2": [4, 5, 6, 7],
    "customer_media_export-3": [8, 9, 10, 11],
  });
  assert.equal(world.reads.size, 4);
  world.reads.clear();
  const again = await world.pack(["backup", "archive"], { sizes });
  assert.ok(again.has("export/media-archive: already done"));
  assert.deepEqual([...new Set(world.reads.values())], [1]);
  assert.equal(world.reads.size, 24);
});

test("a finished archive that was damaged since is made again, with those after it", async () => {
  const world = await worldOf(6);
  const sizes = { archive: 2100, part: 2000 };
  await world.pack(["archive"], { sizes });
  rmSync(join(world.folder, "customer_media_export-2.packed.txt"));
  const told = await world.pack(["archive"], { sizes });
  assert.ok(
    [...told].some((line) =>
      /^export\/media-archive\/2: running again: .*is missing or was changed/.test(line),
    ),
  );
  assert.deepEqual(await world.numbers(), {
    customer_media_export: [0, 1],
    "customer_media_export-2": [2, 3],
    "customer_media_export-3": [4, 5],
  });
});

test("the second pass takes what came since and what waited, and its archive is complete in itself", async () => {
  const world = await worldOf(5);
  world.now = Date.now() + 60_000;
  await world.add(5);
  await realFiles.setTimes(join(world.store, uploadPath(idOf(5))!), world.now);
  let changing = true;
  world.onRead = (path) => {
    if (changing && path.endsWith("3xyz")) appendFileSync(path, "more");
    changing &&= !path.endsWith("3xyz");
  };
  await world.pack(["archive"], { serving: true });
  assert.deepEqual(await world.numbers(), { customer_media_export: [0, 1, 2, 4] });
  await world.add(6);
  await world.pack(["archive"], { pass: "since" });
  assert.deepEqual(await world.numbers(), {
    customer_media_export: [0, 1, 2, 4],
    customer_media_export_since: [3, 5, 6],
  });
});

test("a second pass that has nothing to take makes no archive", async () => {
  const world = await worldOf(3);
  await world.pack(["archive"]);
  await world.pack(["archive"], { pass: "since" });
  assert.deepEqual(Object.keys(await world.numbers()), ["customer_media_export"]);
});

test("what cannot be read even in the second pass is named, and ends it", async () => {
  const world = await worldOf(3);
  await world.pack(["archive"], { sizes: {} });
  await world.add(3);
  world.onRead = (path) => {
    if (path.endsWith("3xyz")) rmSync(path, { force: true });
  };
  await assert.rejects(world.pack(["archive"], { pass: "since" }), {
    code: "media-missing",
    message: /1 uploads .* could not be read completely: Upload000003xyz/,
    hint: /--accept media-missing/,
  });
});

test("a file that breaks off has no record in the archive, which reads along what the backup fills up", async () => {
  for (const wanted of [["backup", "archive"], ["archive"]] as const) {
    const world = await worldOf(4);
    const name = uploadPath(idOf(1))!;
    world.bad = { [join(world.store, name)]: 500 };
    await world.pack([...wanted]);
    assert.deepEqual(await world.numbers(), { customer_media_export: [0, 2, 3] });
    for (const kind of wanted) {
      const { unreadable } = await world.outcome(kind === "backup" ? "export/media" : "export/media-archive");
      assert.deepEqual(unreadable, [name], kind);
    }
    world.bad = {};
    await world.pack(["archive"], { pass: "since" });
    assert.deepEqual(await world.numbers(), {
      customer_media_export: [0, 2, 3],
      customer_media_export_since: [1],
    });
  }
});

test("what somebody gave up is named in the archive's manifest and in the inventory, and nothing that was packed after all", async () => {
  const world = await worldOf(4);
  const lost: Differing = { mediaId: idOf(9), expected: 4000, found: null, uploader: "@nora:example.org" };
  world.bad = {
    [join(world.store, uploadPath(idOf(1))!)]: 500,
    [join(world.store, uploadPath(idOf(2))!)]: 500,
  };
  await world.pack(["archive"], { accepted: true, differing: [lost] });
  world.bad = { [join(world.store, uploadPath(idOf(2))!)]: 500 };
  await world.pack(["archive"], { pass: "since", accepted: true, differing: [lost] });
  const { manifest } = await world.archive("customer_media_export.tar.gz.gpg");
  assert.deepEqual(manifest.missing, [lost]);
  const [note, ...others] = lossesIn(world.inventory);
  assert.deepEqual([note?.id, note?.level, others.length], ["media-missing", "note", 0]);
  assert.deepEqual(note?.evidence, [`${idOf(2)}: not in customer_media_export_since`]);
});

test("an upload that breaks off in a storage provider ends the first pass: nobody comes by it again", async () => {
  const world = await worldOf(3);
  const elsewhere = temporaryFolder("provider");
  const path = uploadPath(idOf(1))!;
  mkdirSync(dirname(join(elsewhere, path)), { recursive: true });
  writeFileSync(join(elsewhere, path), bytesOf(1));
  rmSync(join(world.store, path));
  world.providers = [folderProvider(elsewhere, onBadDisk({ [join(elsewhere, path)]: 500 }))];
  await assert.rejects(world.pack(["archive"]), { code: "media-missing", message: /Upload000001xyz/ });
});

test("uploads that only a storage provider has are packed after those of the store, and read once for both", async () => {
  const world = await worldOf(6);
  const elsewhere = temporaryFolder("provider");
  const provided = [1, 4].map(idOf);
  for (const id of provided) {
    const path = uploadPath(id)!;
    mkdirSync(dirname(join(elsewhere, path)), { recursive: true });
    writeFileSync(join(elsewhere, path), bytesOf(Number(id.slice(6, 12))));
    if (id === provided[0]) rmSync(join(world.store, path));
    else writeFileSync(join(world.store, path), "cut");
  }
  let reads = 0;
  const provider = folderProvider(elsewhere, realFiles);
  world.providers = [
    {
      ...provider,
      read: (file) => {
        reads += 1;
        return provider.read(file);
      },
    },
  ];
  await world.pack(["backup", "archive"]);
  assert.deepEqual(await world.numbers(), { customer_media_export: [0, 2, 3, 5, 1, 4] });
  assert.equal(reads, 2);
  const entries = (await Journal.open(join(world.folder, "journal.json"), realFiles)).steps;
  const first = {
    began: Date.now(),
    settled: false,
    rows: entries[ARCHIVE_STEP.first]!.outcome["rows"] as RowsPerDay,
  };
  await world.pack(["archive"], { pass: "since", first });
  assert.deepEqual(Object.keys(await world.numbers()), ["customer_media_export"]);
  // The clock was set back by years when this came, and its file has left the store already.
  const later = uploadPath(idOf(9))!;
  mkdirSync(dirname(join(elsewhere, later)), { recursive: true });
  writeFileSync(join(elsewhere, later), bytesOf(9));
  await world.row(idOf(9), { media_length: bytesOf(9).length, created_ts: 1_500_000_000_000 });
  rmSync(join(world.folder, "journal.json"));
  await world.pack(["archive"], { pass: "since", first });
  assert.deepEqual((await world.numbers())["customer_media_export_since"], [9]);
});

test("a storage provider that has all there is gives none of it twice, and nothing that was only reserved", async () => {
  const world = await worldOf(4);
  const elsewhere = temporaryFolder("provider");
  await world.row("ReservedReserved", {});
  for (const id of [...[0, 1, 2, 3].map(idOf), "ReservedReserved"]) {
    const path = join(elsewhere, uploadPath(id)!);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, id.startsWith("Upload") ? bytesOf(Number(id.slice(6, 12))) : "half");
  }
  world.providers = [folderProvider(elsewhere, realFiles)];
  // One that lies there cut off comes whole out of the provider, in the place of those that only it has.
  writeFileSync(join(world.store, uploadPath(idOf(1))!), "cut");
  await world.pack(["archive"]);
  assert.deepEqual(await world.numbers(), { customer_media_export: [0, 2, 3, 1] });
});
