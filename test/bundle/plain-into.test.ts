import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import type { Artifact } from "../../src/bundle/manifest.ts";
import type { Bundle } from "../../src/bundle/reader.ts";
import { gzipProgram, type Unpack } from "../../src/pipeline/gzip-program.ts";
import type { Lock } from "../../src/pipeline/encrypt.ts";
import { realFiles } from "../../src/system/files.ts";
import type { Measure } from "../../src/pipeline/measure.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith, programsBefore, programsWith, QUICK_GPG } from "../support/real-world.ts";
import { DUMP, makeSmallBundle, openBundle } from "../support/small-bundle.ts";

// An artifact that gpg and igzip write into a file by themselves.

const lock = lockWith();
let bundle: Bundle;
let artifact: Artifact;
let packed: Measure;
let unpack: Unpack;

before(async () => {
  const folder = temporaryFolder("bundle");
  await makeSmallBundle({ folder, lock, partSize: 60 });
  bundle = await openBundle(folder);
  artifact = bundle.artifact("customer_db_export.sql.gz")!;
  packed = (await bundle.inventory(lock)).artifacts.find(({ name }) => name === artifact.name)!.plain;
  unpack = (await gzipProgram(programsWith(), 2))!.decompress!;
});

async function written(given: { lock?: Lock; expected?: Measure; unpack?: Unpack } = {}): Promise<string> {
  const folder = temporaryFolder("into");
  const file = await realFiles.begin(join(folder, "dump"), 0o600, { sync: false });
  let told = 0;
  try {
    await bundle.plainInto(
      file,
      artifact,
      { lock, unpack, expected: packed, ...given },
      (bytes) => (told += bytes),
    );
    await file.finish();
  } finally {
    await file.abandon();
    if (readdirSync(folder).length > 0) assert.equal(told, DUMP.length, "all that came was told");
  }
  return readFileSync(join(folder, "dump"), "utf8");
}

test("what was packed comes out, out of all parts", async () => {
  assert.ok(artifact.parts.length > 1);
  assert.equal(await written(), DUMP);
});

test("what is damaged, is more than was packed, or something else, is refused by the artifact's name", async () => {
  const refused = { code: "bundle-damaged", message: /^customer_db_export\.sql\.gz\.gpg/ };
  const path = join(bundle.folder, artifact.parts[1]!.name);
  const bytes = readFileSync(path);
  for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
    const hurt = Buffer.from(bytes);
    hurt[at]! ^= 4;
    writeFileSync(path, hurt);
    await assert.rejects(written(), refused, `byte ${at}`);
  }
  writeFileSync(path, bytes);
  await assert.rejects(written({ expected: { ...packed, size: packed.size - 1 } }), {
    ...refused,
    message: /holds more than the \d+ bytes that were packed/,
  });
  await assert.rejects(written({ expected: { ...packed, sha256: "0".repeat(64) } }), refused);
  await assert.rejects(written({ lock: lockWith("another") }), { code: "passphrase-wrong" });
});

test("programs that die, or leave half way with a smile, are found out", async () => {
  for (const [script, code] of [
    [`head -c 100 | /usr/bin/igzip "$@" 2>/dev/null; kill -KILL $$`, /bundle-damaged|program-failed/],
    ["cat >/dev/null; exit 0", /bundle-damaged/],
    [`/usr/bin/igzip "$@" | head -c 100; exit 0`, /bundle-damaged/],
  ] as const) {
    const programs = programsBefore({ igzip: script, gpg: QUICK_GPG });
    const other = (await gzipProgram(programs, 2))!.decompress!;
    await assert.rejects(
      written({ unpack: other, lock: lockWith(lock.passphrase, programs) }),
      { code },
      script,
    );
  }
});
