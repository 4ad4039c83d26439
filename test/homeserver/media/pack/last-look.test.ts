import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { compareMedia } from "../../../../src/homeserver/media/compare/compare.ts";
import { type LastLook, lookForTheLastTime } from "../../../../src/homeserver/media/pack/last-look.ts";
import { filesNotListed, PackedList } from "../../../../src/homeserver/media/pack/packed-list.ts";
import { keptFolders } from "../../../../src/homeserver/media/store/folders.ts";
import { uploadPath } from "../../../../src/homeserver/media/store/layout.ts";
import { storeState, walkStore } from "../../../../src/homeserver/media/store/store.ts";
import { NOTHING_KEPT } from "../../../../src/homeserver/scope.ts";
import { type Files, realFiles } from "../../../../src/system/files/files.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { insert, mediaInSqlite } from "../../../support/media-database.ts";

const key = Buffer.from("a salt of some bundle");
const { signal } = new AbortController();
const kept = { ...NOTHING_KEPT, previews: true };
const THUMBNAIL = "local_thumbnails/AA/aa/One/32-32-image-png-crop";

function put(store: string, name: string, content = "12345"): void {
  mkdirSync(dirname(join(store, name)), { recursive: true });
  writeFileSync(join(store, name), content);
}

/** Two uploads with their rows, a thumbnail and a preview, and a list of what is there. */
async function packedStore() {
  const store = temporaryFolder("store");
  const database = mediaInSqlite("new");
  for (const id of ["AAaaOne", "BBbbTwo"]) {
    put(store, uploadPath(id)!);
    await database.run(insert("local_media_repository", [{ media_id: id, media_length: 5, created_ts: 1 }]));
  }
  put(store, THUMBNAIL);
  put(store, "url_cache/2026-01-02/preview");
  const list = new PackedList(key);
  for await (const file of walkStore(store, realFiles, {}, keptFolders(kept))) list.add(file);
  const path = join(temporaryFolder("list"), "media-packed.txt");
  writeFileSync(path, list.take());
  return { store, database, list: { path, key } };
}

type Packed = Awaited<ReturnType<typeof packedStore>>;

async function look(
  { store, database, list }: Packed,
  { files = realFiles, unreadableAccepted = false }: { files?: Files; unreadableAccepted?: boolean } = {},
): Promise<LastLook> {
  const lists = { backup: [list], archive: [list] };
  const session = await database.connect();
  return lookForTheLastTime({
    ...{ session, store, files, signal, kept, unreadableAccepted, ...lists },
    providers: [],
  });
}

const names = ({ all }: LastLook["forBackup"]) => all?.map(({ name }) => name);

test("one walk tells what a walk for each question told", async () => {
  const packed = await packedStore();
  const { store, database, list } = packed;
  put(store, uploadPath("AAaaNew")!);
  put(store, uploadPath("BBbbTwo")!, "longer than it was");
  put(store, "local_thumbnails/AA/aa/New/32-32-image-png-crop");
  rmSync(join(store, THUMBNAIL));
  const walked = new Map<string, number>();
  const files: Files = {
    ...realFiles,
    walk(folder, ...how) {
      walked.set(folder, (walked.get(folder) ?? 0) + 1);
      return realFiles.walk(folder, ...how);
    },
  };
  const found = await look(packed, { files });
  assert.deepEqual(found.state, await storeState(store, realFiles, keptFolders(kept)));
  const compared = await compareMedia(await database.connect(), store, realFiles, {
    hashes: false,
    tell: () => undefined,
  });
  assert.deepEqual(found.compared, compared);
  assert.equal(found.compared.differingCount, 1);
  const fresh: string[] = [];
  const walk = walkStore(store, realFiles, {}, keptFolders(kept));
  for await (const { name } of filesNotListed(walk, list, realFiles)) fresh.push(name);
  assert.deepEqual(names(found.forBackup), fresh);
  assert.equal(fresh.length, 3);
  assert.deepEqual(
    names(found.forArchive),
    fresh.filter((name) => name.startsWith("local_content/")),
  );
  assert.deepEqual(
    [...walked],
    keptFolders(kept).map((folder) => [join(store, folder), 1]),
  );
});

test("nothing is new where nothing came, and of very much it is only known that there is more", async () => {
  const packed = await packedStore();
  const found = await look(packed);
  assert.deepEqual([names(found.forBackup), names(found.forArchive)], [[], []]);
  for (let number = 0; number < 10_001; number += 1) put(packed.store, `local_content/CC/cc/${number}`, "");
  const many = await look(packed);
  assert.deepEqual([names(many.forBackup), names(many.forArchive)], [undefined, undefined]);
  assert.equal(many.state.files, 10_005);
});

test("what cannot be looked at ends the look, and is told of where somebody accepted that", async () => {
  const packed = await packedStore();
  const files: Files = {
    ...realFiles,
    async *walk(folder, ...how) {
      if (folder.endsWith("url_cache"))
        yield [{ name: "2026-01-02", kind: "closed", size: 0, mode: 0, mtimeMs: 0 }];
      else yield* realFiles.walk(folder, ...how);
    },
  };
  await assert.rejects(look(packed, { files }), { code: "file-failed" });
  const found = await look(packed, { files, unreadableAccepted: true });
  assert.deepEqual(found.state.closed.some, ["url_cache/2026-01-02"]);
});
