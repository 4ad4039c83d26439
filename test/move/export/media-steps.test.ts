import assert from "node:assert/strict";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { openWorkspace } from "../../../src/bundle/workspace.ts";
import type { Homeserver } from "../../../src/homeserver/homeserver.ts";
import { uploadPath } from "../../../src/homeserver/media/store/layout.ts";
import { runSteps } from "../../../src/journal/run-steps.ts";
import type { ExportContext } from "../../../src/move/export/context.ts";
import { mediaSteps } from "../../../src/move/export/media-steps.ts";
import type { SourceState } from "../../../src/move/export/source.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { noProgress } from "../../../src/system/progress.ts";
import { realSqlite } from "../../../src/system/sqlite/sqlite.ts";
import type { System } from "../../../src/system/system.ts";
import { onBadDisk } from "../../support/bad-disk.ts";
import { noise } from "../../support/bytes.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { insert, mediaInSqlite } from "../../support/media-database.ts";
import { lockWith } from "../../support/real-world.ts";

const lock = lockWith();
const { signal } = new AbortController();

/** What of the media is done while the server serves, with one upload that breaks off. */
async function beforeTheStop(media: { backup: boolean; archive: boolean }, accepted: readonly string[]) {
  const store = temporaryFolder("store");
  const folder = temporaryFolder("bundle");
  const database = mediaInSqlite("new");
  for (const id of ["AAaaWhole", "BBbbBroken"]) {
    const path = join(store, uploadPath(id)!);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, noise(2000));
    utimesSync(path, 1e9, 1e9);
    await database.run(
      insert("local_media_repository", [{ media_id: id, media_length: 2000, created_ts: 1 }]),
    );
  }
  const broken = uploadPath("BBbbBroken")!;
  const files = onBadDisk({ [join(store, broken)]: 500 });
  const system = { files, signal, machine: machineWith(), sqlite: realSqlite(realFiles, signal) };
  const place = await openWorkspace({
    ...{ folder, keys: lock, files: realFiles, machine: machineWith(), progress: noProgress },
    ...{ subject: "example.org", rehearsal: false },
  });
  const packing: ExportContext = {
    homeserver: { serverName: "example.org", mediaStore: store, settings: {} } as unknown as Homeserver,
    ...{ workspace: place, folder, inputs: {}, accepted, progress: noProgress, dumpFormat: "plain" },
    media: { ...media, archiveSize: 1e9, remote: false, previews: false },
    system: system as unknown as System,
  };
  const source = {
    database: { engine: "sqlite", path: database.path, size: 0 },
    media: { files: 2, bytes: 4000 },
  } as unknown as SourceState;
  try {
    for (const { step } of mediaSteps(packing, source, true))
      await runSteps([step], { journal: place.journal, progress: noProgress, signal, now: () => 0 });
  } finally {
    await place.close();
  }
  return broken;
}

for (const media of [
  { backup: true, archive: false },
  { backup: false, archive: true },
]) {
  test(`an upload that cannot be read is refused while the server serves, with ${media.backup ? "the backup" : "archives"} alone`, async () => {
    await assert.rejects(beforeTheStop(media, []), {
      code: "media-missing",
      message: /cannot be read: 1: local_content\/BB\/bb\/Broken$/,
      hint: /--accept media-unreadable/,
    });
    await beforeTheStop(media, ["media-unreadable"]);
  });
}
