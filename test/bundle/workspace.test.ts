import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { RecordedArtifact } from "../../src/bundle/inventory.ts";
import { seal } from "../../src/bundle/seal.ts";
import {
  type BundleWorkspace,
  type BundleWorkspaceOptions,
  openWorkspace,
} from "../../src/bundle/workspace.ts";
import { runSteps } from "../../src/journal/run-steps.ts";
import type { Step } from "../../src/journal/step.ts";
import { realFiles as files } from "../../src/system/files/files.ts";
import { chunked, flipped } from "../support/bytes.ts";
import { machineWith } from "../support/fake-machine.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith } from "../support/real-world.ts";
import { Recorder } from "../support/recorder.ts";
import { DUMP, DUMP_PLAN, MEDIA_PLAN, mediaArchive } from "../support/small-bundle.ts";

const lock = lockWith();
const machine = machineWith();
const ARTIFACTS = ["customer_db_export.sql.gz.gpg", "customer_backup_media_export.tar.gz.gpg"];

const options = (folder: string, more: Partial<BundleWorkspaceOptions> = {}): BundleWorkspaceOptions => ({
  folder,
  subject: "example.org",
  rehearsal: false,
  keys: lock,
  files,
  machine,
  progress: new Recorder(),
  ...more,
});

/** One whole run: enter, pack a dump and media, seal, leave. Tells which steps ran. */
async function exported(
  folder: string,
  more: Partial<BundleWorkspaceOptions> = {},
): Promise<{ ran: string[]; notes: string[] }> {
  const progress = new Recorder();
  const place = await openWorkspace(options(folder, { progress, ...more }));
  const ran: string[] = [];
  const step = (id: string, add: () => Promise<RecordedArtifact>): Step => ({
    ...{ id, label: id },
    inputs: { bundle: place.inventory.id },
    findFault: place.findArtifactFault,
    async run() {
      ran.push(id);
      const { name, parts, ...artifact } = await add();
      place.inventory.setArtifact({ name, parts, ...artifact });
      await place.save();
      return { name, parts };
    },
  });
  try {
    const steps = [
      step("export/database", () => place.writer.add(DUMP_PLAN, chunked(DUMP))),
      step("export/media", () => place.writer.add(MEDIA_PLAN, mediaArchive(3000))),
    ];
    await runSteps(steps, {
      journal: place.journal,
      progress,
      signal: new AbortController().signal,
      now: () => machine.now(),
    });
    await seal({
      folder,
      inventory: place.inventory,
      keys: lock,
      files,
      subject: "example.org",
      program: "p",
      outageSince: null,
      afterwards: "",
    });
  } finally {
    await place.close();
  }
  return { ran, notes: progress.notes };
}

const begun = async (folder: string, more: Partial<BundleWorkspaceOptions> = {}): Promise<BundleWorkspace> =>
  openWorkspace(options(folder, more));

test("a bundle that is finished is not made again", async () => {
  const folder = join(temporaryFolder("out"), "bundle");
  assert.deepEqual((await exported(folder)).ran, ["export/database", "export/media"]);
  const before = ARTIFACTS.map((name) => statSync(join(folder, name)).ino);
  assert.deepEqual((await exported(folder)).ran, []);
  assert.deepEqual(
    ARTIFACTS.map((name) => statSync(join(folder, name)).ino),
    before,
  );
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.equal(readdirSync(folder).includes("lock"), false);
});

test("an artifact that was damaged since is made again, and only that one", async () => {
  const folder = join(temporaryFolder("out"), "bundle");
  await exported(folder);
  const path = join(folder, ARTIFACTS[1]!);
  writeFileSync(path, flipped(readFileSync(path), 1000));
  assert.deepEqual((await exported(folder)).ran, ["export/media"]);
  rmSync(join(folder, ARTIFACTS[0]!));
  assert.deepEqual((await exported(folder)).ran, ["export/database"]);
  writeFileSync(path, "short");
  assert.deepEqual((await exported(folder)).ran, ["export/media"]);
  assert.deepEqual((await exported(folder)).ran, []);
});

test("when the inventory is damaged or gone everything is packed again, as its salt is lost", async () => {
  const folder = join(temporaryFolder("out"), "bundle");
  await exported(folder);
  const path = join(folder, "inventory.json.gpg");
  writeFileSync(path, readFileSync(path).subarray(0, 200));
  const place = await begun(folder);
  assert.equal(
    readdirSync(folder).includes("manifest.json"),
    false,
    "what cannot be opened any more is no bundle",
  );
  await place.close();
  writeFileSync(path, readFileSync(path).subarray(0, 200));
  const again = await exported(folder);
  assert.deepEqual(again.ran, ["export/database", "export/media"]);
  assert.deepEqual(again.notes, [`${path} is damaged: all artifacts are written again`]);
  rmSync(path);
  assert.deepEqual((await exported(folder)).ran, ["export/database", "export/media"]);
});

test("a folder with something else in it is refused and left as it is", async () => {
  const folder = temporaryFolder("theirs");
  writeFileSync(join(folder, "holiday.jpg"), "x");
  const mode = statSync(folder).mode;
  await assert.rejects(begun(folder), {
    code: "bundle-mismatch",
    message: /is not empty: it contains holiday.jpg/,
  });
  assert.deepEqual(readdirSync(folder), ["holiday.jpg"]);
  assert.equal(statSync(folder).mode, mode);
  await assert.rejects(begun(join(folder, "holiday.jpg")), {
    code: "bundle-mismatch",
    message: /is not a directory/,
  });
});

test("an empty folder, also one with hidden files only, is taken and made private", async () => {
  const folder = temporaryFolder("empty");
  writeFileSync(join(folder, ".directory"), "a file manager's");
  const place = await begun(folder);
  assert.equal(place.resumed, false);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  await place.close();
});

test("the bundle of another server, and a rehearsal where a move was started, are refused", async () => {
  const folder = join(temporaryFolder("out"), "bundle");
  await exported(folder);
  await assert.rejects(begun(folder, { subject: "other.example" }), {
    code: "bundle-mismatch",
    message: `the export in ${folder} was started for another subject: example.org, not other.example`,
  });
  await assert.rejects(begun(folder, { rehearsal: true }), {
    code: "bundle-mismatch",
    message: /another kind: move, not rehearsal/,
  });
  assert.equal(readdirSync(folder).includes("lock"), false, "a refusal leaves no lock");
  assert.deepEqual((await exported(folder)).ran, [], "and nothing was spoiled by asking");
});

test("another passphrase than the one it was started with is refused", async () => {
  const folder = join(temporaryFolder("out"), "bundle");
  await exported(folder);
  await assert.rejects(begun(folder, { keys: lockWith("another") }), {
    code: "passphrase-wrong",
    message: `the export in ${folder} was started with another passphrase`,
    hint: /choose another folder/,
  });
  assert.equal(readdirSync(folder).includes("lock"), false);
});

test("two runs never work on one bundle", async () => {
  const folder = join(temporaryFolder("out"), "bundle");
  const first = await begun(folder);
  await assert.rejects(begun(folder), { code: "bundle-in-use" });
  await first.close();
  const second = await begun(folder);
  assert.equal(second.resumed, true);
  await second.close();
});

test("what a killed run left half written is tidied away", async () => {
  const folder = join(temporaryFolder("out"), "bundle");
  await (await begun(folder)).close();
  writeFileSync(join(folder, `.${ARTIFACTS[0]!}.unfinished`), "half");
  mkdirSync(join(folder, "kept"));
  await (await begun(folder)).close();
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith(".")),
    [],
  );
});
