import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { verifyMediaOwners } from "../../../../src/homeserver/media/store/owners.ts";
import { realFiles as files } from "../../../../src/system/files/files.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";

const { signal } = new AbortController();
const uid = process.getuid!();

function storeWith(count: number): string {
  const store = temporaryFolder("owned-store");
  for (let index = 0; index < count; index += 1) {
    const folder = join(store, "local_content/AA", `a${index}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "upload"), "x");
    for (const one of [join(folder, "../.."), join(folder, ".."), folder]) chmodSync(one, 0o700);
    chmodSync(join(folder, "upload"), 0o640);
  }
  chmodSync(store, 0o700);
  return store;
}

const judged = (store: string) => verifyMediaOwners(store, { uid, name: "synapse" }, { files, signal });

test("each folder on the way to an upload is judged, and not the uploads alone", async () => {
  const store = storeWith(2);
  const fine = await judged(store);
  assert.equal(fine.level, "ok");
  assert.match(
    fine.sentence,
    /^7 files and folders of media/,
    "the store, three folders above, two of two uploads",
  );
  for (const folder of ["local_content/AA", "local_content/AA/a1"]) {
    chmodSync(join(store, folder), 0o777);
    const finding = await judged(store);
    assert.equal(finding.level, "blocker");
    assert.deepEqual(finding.evidence, [`${join(store, folder)} has mode 0777, everybody may write to it`]);
    chmodSync(join(store, folder), 0o700);
  }
});

test(
  "a folder of somebody else's bars the way to what lies in it",
  { skip: uid === 0 ? false : "only root gives folders away" },
  async () => {
    for (const count of [1, 150]) {
      const store = storeWith(count);
      const folder = join(store, "local_content/AA");
      mkdirSync(join(folder, "empty"), { mode: 0o700 });
      for (const one of [folder, join(folder, "empty")]) chownSync(one, 65_534, 65_534);
      const finding = await judged(store);
      assert.equal(finding.level, "blocker");
      assert.deepEqual(finding.evidence, [
        `${folder} belongs to user id 65534`,
        `${join(folder, "empty")} belongs to user id 65534`,
      ]);
      assert.match(finding.hint ?? "", /chown -R/);
    }
  },
);
