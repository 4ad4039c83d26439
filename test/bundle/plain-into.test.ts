import assert from "node:assert/strict";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import type { Artifact } from "../../src/bundle/manifest.ts";
import type { Bundle } from "../../src/bundle/reader.ts";
import type { Digest } from "../../src/pipeline/digest.ts";
import type { EncryptionKeys } from "../../src/pipeline/encrypt.ts";
import { type Decompressor, gzipProgram } from "../../src/pipeline/gzip-program.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith, programsBefore, programsWith, QUICK_GPG } from "../support/real-world.ts";
import { DUMP, makeSmallBundle, openBundle } from "../support/small-bundle.ts";
import { smallDisk } from "../support/small-disk.ts";

// An artifact that gpg and igzip write into a file by themselves.

const lock = lockWith();
let bundle: Bundle;
let artifact: Artifact;
let packed: Digest;
let media: { artifact: Artifact; expected: Digest };
let unpack: Decompressor;

before(async () => {
  const folder = temporaryFolder("bundle");
  await makeSmallBundle({ folder, lock, partSize: 60 });
  bundle = await openBundle(folder);
  const { artifacts } = await bundle.inventory(lock);
  const found = (plainName: string) => {
    const artifact = bundle.artifact(plainName)!;
    return { artifact, expected: artifacts.find(({ name }) => name === artifact.name)!.plain };
  };
  ({ artifact, expected: packed } = found("customer_db_export.sql.gz"));
  media = found("customer_backup_media_export.tar.gz");
  unpack = (await gzipProgram(programsWith(), 2))!.decompress!;
});

async function written(
  given: { lock?: EncryptionKeys; expected?: Digest; unpack?: Decompressor; artifact?: Artifact } = {},
  folder = temporaryFolder("into"),
): Promise<string> {
  const file = await realFiles.begin(join(folder, "dump"), 0o600, { sync: false });
  let told = 0;
  try {
    await bundle.decryptInto(
      file,
      given.artifact ?? artifact,
      { lock, unpack, expected: packed, ...given },
      (bytes) => (told += bytes),
    );
    await file.finish();
  } finally {
    await file.abandon();
    if (existsSync(join(folder, "dump"))) assert.equal(told, DUMP.length, "all that came was told");
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
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 4;
    writeFileSync(path, damaged);
    await assert.rejects(written(), refused, `byte ${at}`);
  }
  writeFileSync(path, bytes);
  await assert.rejects(written({ expected: { ...packed, size: packed.size - 1 } }), {
    ...refused,
    message: /larger than the \d+ bytes that were packed/,
  });
  await assert.rejects(written({ expected: { ...packed, sha256: "0".repeat(64) } }), refused);
  await assert.rejects(written({ lock: lockWith("another") }), { code: "passphrase-wrong" });
});

test("programs that die, or leave half way with a smile, are found out", async () => {
  for (const [script, code] of [
    // What one that was killed, or could not work here, has seen of the data is no word on it.
    [`head -c 100 | /usr/bin/igzip "$@" 2>/dev/null; kill -KILL $$`, "program-failed"],
    ["cat >/dev/null; echo 'igzip: Failed to allocate memory' >&2; exit 1", "program-failed"],
    [
      `cat >/dev/null; echo 'igzip: Error encountered while writing to file (null)' >&2; exit 252`,
      "file-failed",
    ],
    ["cat >/dev/null; exit 0", "bundle-damaged"],
    [`/usr/bin/igzip "$@" | head -c 100; exit 0`, "bundle-damaged"],
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

test("a disk that is full is told as that, and nothing is said against the bundle", async (t) => {
  const folder = await smallDisk(t, "64k");
  assert.throws(
    () => {
      for (;;) appendFileSync(join(folder, "filler"), Buffer.alloc(4096));
    },
    { code: "ENOSPC" },
  );
  // igzip says so of what it writes at once, and nothing of what it would write at its very end.
  for (const given of [media, {}])
    await assert.rejects(written(given, folder), { code: "disk-full", message: /no space left/ });
});
