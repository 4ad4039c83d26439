import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { uploadPath } from "../../../src/homeserver/media/store/layout.ts";
import { findSampleUpload } from "../../../src/homeserver/media/verify-served.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { mediaInSqlite } from "../../support/media-database.ts";

const NOTHING = { differing: [], changed: [] };

/** Uploads from the newest to the oldest, each with the bytes of its file; undefined for no file. */
async function uploads(given: readonly { id: string; file: number | undefined; authenticated?: boolean }[]) {
  const store = temporaryFolder("served-store");
  const database = mediaInSqlite("new");
  for (const [age, { id, file, authenticated = false }] of given.entries()) {
    await database.run(
      `INSERT INTO local_media_repository (media_id, media_type, media_length, created_ts, upload_name, user_id, authenticated)
       VALUES ('${id}', 'text/plain', 10, ${1000 - age}, NULL, '@a:x', ${authenticated ? 1 : 0})`,
    );
    if (file === undefined) continue;
    const path = join(store, uploadPath(id)!);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.alloc(file));
  }
  const session = await database.connect();
  return (section: Parameters<typeof findSampleUpload>[0]["section"], hasToken = false) =>
    findSampleUpload({ session, hasToken, store, files: realFiles, section });
}

test("the sample is the newest upload that was complete at the source", async () => {
  const sample = await uploads([
    { id: "aaaaaaaaaaaaaaaaaaaaaaaa", file: 10 },
    { id: "bbbbbbbbbbbbbbbbbbbbbbbb", file: 10 },
    { id: "cccccccccccccccccccccccc", file: 10 },
  ]);
  assert.equal((await sample(NOTHING))?.mediaId, "aaaaaaaaaaaaaaaaaaaaaaaa");
  const missing = { mediaId: "aaaaaaaaaaaaaaaaaaaaaaaa", expected: 10, found: null };
  const incomplete = { differing: [missing], changed: ["bbbbbbbbbbbbbbbbbbbbbbbb"] };
  assert.equal((await sample(incomplete))?.mediaId, "cccccccccccccccccccccccc");
});

test("an upload without its whole file in the store is never the sample, as the inventory names only the first of many", async () => {
  const sample = await uploads([
    { id: "aaaaaaaaaaaaaaaaaaaaaaaa", file: undefined },
    { id: "bbbbbbbbbbbbbbbbbbbbbbbb", file: 9 },
    { id: "cccccccccccccccccccccccc", file: 10 },
  ]);
  assert.equal((await sample(NOTHING))?.mediaId, "cccccccccccccccccccccccc");
});

test("only with a token an upload is asked for that requires authentication", async () => {
  const sample = await uploads([
    { id: "aaaaaaaaaaaaaaaaaaaaaaaa", file: 10, authenticated: true },
    { id: "bbbbbbbbbbbbbbbbbbbbbbbb", file: 10 },
  ]);
  assert.deepEqual(await sample(NOTHING), { mediaId: "bbbbbbbbbbbbbbbbbbbbbbbb", authenticated: false });
  assert.deepEqual(await sample(NOTHING, true), { mediaId: "aaaaaaaaaaaaaaaaaaaaaaaa", authenticated: true });
});
