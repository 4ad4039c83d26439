import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MigrationError } from "../../../../src/errors.ts";
import {
  removeUnencryptedDump,
  UNENCRYPTED_DUMP,
  withUnencryptedDump,
} from "../../../../src/homeserver/database/fill/unencrypted-dump.ts";
import { Journal } from "../../../../src/journal/journal.ts";
import { type Files, realFiles, type Unfinished } from "../../../../src/system/files/files.ts";
import { noProgress } from "../../../../src/system/progress.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";

const write = (file: Unfinished) => file.write(Buffer.from("a dump"));

/** A folder for a dump, a journal on a disk that can be full, and what people are told. */
async function place(files: Partial<Files> = {}) {
  const folder = join(temporaryFolder("media"), "media.spool.clear");
  const path = join(temporaryFolder("journal"), "journal.json");
  const world = { ...realFiles, ...files };
  const journal = await Journal.open(path, world);
  const told: string[] = [];
  const progress = { ...noProgress, note: (sentence: string) => void told.push(sentence) };
  const at = { folder, owner: undefined, account: undefined };
  const dumped = <T>(use: () => Promise<T>) =>
    withUnencryptedDump(write, at, { files: world, journal, progress }, use);
  return { folder, path, journal, told, progress, dumped };
}

test("what somebody else put beside the dump stays, the dump goes, and the next restore goes on", async () => {
  const { folder, journal, told, progress, dumped } = await place();
  const use = () => {
    writeFileSync(join(folder, "of-mine"), "mine");
    return Promise.resolve("filled");
  };
  assert.equal(await dumped(use), "filled");
  assert.deepEqual(readdirSync(folder), ["of-mine"]);
  assert.match(told.join(), /was not removed, as it holds other files: of-mine/);
  assert.deepEqual(journal.facts, {});
  await removeUnencryptedDump(journal, realFiles, progress);
});

test("of a killed run the dump goes too where there is more in its folder", async () => {
  const { folder, journal, told, progress } = await place();
  await journal.setFact("clear-dump", folder);
  mkdirSync(folder);
  writeFileSync(join(folder, UNENCRYPTED_DUMP), "a dump");
  writeFileSync(join(folder, "of-mine"), "mine");
  await removeUnencryptedDump(journal, realFiles, progress);
  assert.deepEqual(readdirSync(folder), ["of-mine"]);
  assert.equal(told.length, 2);
  assert.deepEqual(journal.facts, {});
});

test("a disk that is full at the end hides no error, and makes none of what went well", async () => {
  const disk = { full: false };
  const full = new MigrationError("disk-full", "no space left");
  const writeWhole: Files["writeAtomically"] = (...args) =>
    disk.full ? Promise.reject(full) : realFiles.writeAtomically(...args);
  for (const outcome of ["well", "badly"]) {
    disk.full = false;
    const { folder, path, told, dumped } = await place({ writeAtomically: writeWhole });
    const ran = dumped(() => {
      disk.full = true;
      return outcome === "well" ? Promise.resolve("filled") : Promise.reject(new Error("an index failed"));
    });
    if (outcome === "well") assert.equal(await ran, "filled");
    else await assert.rejects(ran, { message: "an index failed" });
    assert.ok(!existsSync(folder));
    assert.match(
      told.join(),
      /no space left.*: when this run has ended, check that no unencrypted dump is left/,
    );
    assert.match(readFileSync(path, "utf8"), /clear-dump/, "the next run looks again");
  }
});
