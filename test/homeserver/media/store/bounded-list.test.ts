import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BoundedList } from "../../../../src/homeserver/media/store/bounded-list.ts";
import { storeState } from "../../../../src/homeserver/media/store/store.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { folderWith } from "../../../support/folder-with.ts";

test("of many names the first are held, and all are counted", () => {
  const listed = new BoundedList(3);
  for (let number = 0; number < 10; number++) listed.add(`name ${number}`);
  const both = new BoundedList();
  for (let number = 0; number < 99; number++) both.add(`other ${number}`);
  both.addAll(listed);
  assert.deepEqual([listed.count, listed.some], [10, ["name 0", "name 1", "name 2"]]);
  assert.deepEqual([both.count, both.some.length, both.some.at(-1)], [109, 100, "name 0"]);
});

test("a store of links and of names that nobody can open is told by a few of them", async (t) => {
  const store = folderWith(t, {});
  const folder = join(store, "local_content/AA/aa");
  mkdirSync(folder, { recursive: true });
  for (let number = 0; number < 150; number++) {
    symlinkSync("/nowhere", join(folder, `link${number}`));
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/n${number}`), Buffer.from([0xe9])]), "x");
  }
  const { odd, nameless } = await storeState(store, realFiles);
  assert.deepEqual(
    [odd, nameless].map(({ count, some }) => [count, some.length]),
    [
      [150, 100],
      [150, 100],
    ],
  );
});
