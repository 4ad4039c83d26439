import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { storeState } from "../../../src/homeserver/media/store/store.ts";
import { assertRegularFiles } from "../../../src/move/export/source.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

test("a file whose name is no UTF-8 is told as that, and a link as a link", async () => {
  const store = temporaryFolder("odd-store");
  const folder = join(store, "local_content/AA/aa");
  mkdirSync(folder, { recursive: true });
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.from([0xe9])]), "x");
  const refused = async (error: object) => {
    const state = await storeState(store, files);
    assert.throws(() => {
      assertRegularFiles(state, store, []);
    }, error);
    assertRegularFiles(state, store, ["media-special-files"]);
  };
  await refused({
    code: "media-missing",
    message: `the media store ${store} holds entries whose names are not UTF-8, so that they cannot be opened: local_content/AA/aa/caf\uFFFD`,
    hint: /^Synapse does not create such names: move them out of the store, or continue without them: --accept media-special-files$/,
  });
  symlinkSync("/nowhere", join(folder, "link"));
  await refused({
    message:
      /not regular files: local_content\/AA\/aa\/link; and entries whose names are not UTF-8.*caf\uFFFD$/,
    hint: /^replace links with the files they point to/,
  });
});
