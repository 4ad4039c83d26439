import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MANIFEST } from "../../src/bundle/layout.ts";
import { packTar } from "../../src/pipeline/tar.ts";
import type { Bytes } from "../../src/pipeline/transform.ts";
import { type Files, realFiles } from "../../src/system/files/files.ts";
import { breaksAfter, BROKEN, chunked, collect, flipped, noise } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith, programsBefore, programsWith } from "../support/real-world.ts";
import { DUMP, DUMP_PLAN, MEDIA_PLAN, mediaArchive, writerIn } from "../support/small-bundle.ts";
import { smallDisk } from "../support/small-disk.ts";

const lock = lockWith();
const MEDIA = `${MEDIA_PLAN.name}.gpg`;
const newFolder = () => temporaryFolder("bundle");

/** A gpg that does something of its own when it encrypts, and is the real one otherwise. */
const gpgThat = (script: string) =>
  lockWith(
    "x",
    programsBefore({ gpg: `case "$*" in *--symmetric*) ${script} ;; *) exec /usr/bin/gpg "$@" ;; esac` }),
  );

test("an artifact in one piece is one private file with its own name, and nothing of it is unencrypted", async () => {
  const folder = newFolder();
  const recorded = await writerIn(folder, lock).add(DUMP_PLAN, chunked(DUMP));
  const name = "customer_db_export.sql.gz.gpg";
  assert.deepEqual(readdirSync(folder), [name]);
  assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600);
  assert.deepEqual(recorded.parts, [{ name, size: recorded.size, sha256: recorded.sha256 }]);
  assert.equal(recorded.plain.size, DUMP.length);
  assert.equal(readFileSync(join(folder, name)).includes("must not be seen"), false);
});

test("parts are as large as asked: exactly the artifact, one byte less, one byte more, and many", async () => {
  const whole = await writerIn(newFolder(), lock).add(MEDIA_PLAN, mediaArchive(3000));
  for (const [partSize, sizes] of [
    [whole.size, [whole.size]],
    [whole.size + 1, [whole.size]],
    [whole.size - 1, [whole.size - 1, 1]],
    [
      1000,
      Array.from({ length: Math.ceil(whole.size / 1000) }, (_, index) =>
        Math.min(1000, whole.size - index * 1000),
      ),
    ],
  ] as const) {
    const folder = newFolder();
    const recorded = await writerIn(folder, lock, partSize).add(MEDIA_PLAN, mediaArchive(3000));
    assert.equal(recorded.size, whole.size, "gpg adds the same to the same");
    assert.deepEqual(
      recorded.parts.map(({ size }) => size),
      sizes,
    );
    assert.deepEqual(
      readdirSync(folder),
      recorded.parts.map(({ name }) => name),
    );
    assert.equal(recorded.parts[0]!.name, `${MEDIA}.part-aa`);
    assert.deepEqual(recorded.plain, whole.plain);
  }
});

for (const partSize of [undefined, 1000])
  test(`nothing is left of an artifact whose source breaks, ${partSize === undefined ? "whole" : "in parts"}`, async () => {
    const folder = newFolder();
    writeFileSync(join(folder, "another"), "stays");
    const source = breaksAfter(await collect(mediaArchive(200_000)));
    await assert.rejects(writerIn(folder, lock, partSize).add(MEDIA_PLAN, source), new Error(BROKEN));
    assert.deepEqual(readdirSync(folder), ["another"]);
  });

test("a dump that pg_dump did not finish and an archive without its end are never kept", async () => {
  const folder = newFolder();
  const cutOff = DUMP.slice(0, DUMP.indexOf("-- PostgreSQL database dump complete"));
  for (const text of ["", "SELECT 1;\n", cutOff])
    await assert.rejects(writerIn(folder, lock).add(DUMP_PLAN, chunked(text)), {
      code: "program-failed",
      message: /dump is incomplete/,
    });
  const archive = await collect(mediaArchive(3000));
  await assert.rejects(writerIn(folder, lock).add(MEDIA_PLAN, chunked(archive.subarray(0, -700))), {
    code: "program-failed",
  });
  assert.deepEqual(readdirSync(folder), []);
});

test("an upload that grows while it is packed leaves nothing", async () => {
  const folder = newFolder();
  const growing = packTar([
    { name: "local_content/x/y", size: 10, mode: 0o600, mtimeMs: 0, content: () => chunked(noise(11)) },
  ]);
  await assert.rejects(writerIn(folder, lock).add(MEDIA_PLAN, growing), { code: "source-changed" });
  assert.deepEqual(readdirSync(folder), []);
});

for (const [what, script, error] of [
  [
    "is killed half way",
    '/usr/bin/gpg "$@" | head -c 5000; kill -KILL $$',
    { code: "program-failed", message: /gpg was killed by SIGKILL/ },
  ],
  [
    "fails at the end",
    '/usr/bin/gpg "$@" && exit 2',
    { code: "program-failed", message: /gpg failed with exit code 2/ },
  ],
  [
    "leaves out half and says that all is well",
    '/usr/bin/gpg "$@" | head -c 5000',
    { code: "program-failed" },
  ],
  ["writes nothing and says that all is well", "cat >/dev/null", { code: "program-failed" }],
  ["passes the plain text on", "cat", { code: "program-failed" }],
] as const)
  test(`nothing is left of an artifact whose gpg ${what}`, async () => {
    for (const partSize of [undefined, 2000]) {
      const folder = newFolder();
      await assert.rejects(
        writerIn(folder, gpgThat(script), partSize).add(MEDIA_PLAN, mediaArchive(20_000)),
        error,
      );
      assert.deepEqual(readdirSync(folder), []);
    }
  });

test("a gpg that is not there is named with its package, and nothing is left", async () => {
  const folder = newFolder();
  const missing = lockWith("x", programsWith({ PATH: "/nonexistent" }));
  await assert.rejects(writerIn(folder, missing).add(DUMP_PLAN, chunked(DUMP)), {
    code: "program-missing",
    hint: /gnupg/,
  });
  assert.deepEqual(readdirSync(folder), []);
});

test("nothing is left of an artifact that does not fit on the disk, and what was there stays", async (t) => {
  const folder = await smallDisk(t);
  for (const partSize of [undefined, 300_000]) {
    const writer = writerIn(folder, lock, partSize);
    const dump = await writerIn(folder, lock).add(DUMP_PLAN, chunked(DUMP));
    await assert.rejects(writer.add(MEDIA_PLAN, mediaArchive(3_000_000)), {
      code: "disk-full",
      hint: /completed work is kept/,
    });
    assert.deepEqual(readdirSync(folder), [dump.name]);
  }
  await writerIn(folder, lock).add(MEDIA_PLAN, mediaArchive(100_000));
});

test("an earlier artifact and the manifest are gone as soon as it is begun again", async () => {
  const folder = newFolder();
  await writerIn(folder, lock, 1000).add(MEDIA_PLAN, mediaArchive(3000));
  await writerIn(folder, lock).add(DUMP_PLAN, chunked(DUMP));
  writeFileSync(join(folder, MANIFEST), "{}");
  let seen: string[] = [];
  const source = async function* (): Bytes {
    seen = readdirSync(folder).filter((name) => !name.startsWith("."));
    yield* mediaArchive(10);
  };
  await writerIn(folder, lock).add(MEDIA_PLAN, source());
  assert.deepEqual(seen, [`${DUMP_PLAN.name}.gpg`]);
  assert.deepEqual(
    readdirSync(folder).sort(),
    [MEDIA, `${DUMP_PLAN.name}.gpg`].sort(),
    "fewer parts than before, none is left over",
  );
});

test("a disk that gives back other bytes than were written is found out, and nothing is left", async () => {
  const folder = newFolder();
  const lying: Files = {
    ...realFiles,
    async *read(path, range) {
      const bytes = await collect(realFiles.read(path, { ...range, reuse: false }));
      yield flipped(bytes, bytes.length - 30);
    },
  };
  await assert.rejects(writerIn(folder, lock, undefined, lying).add(MEDIA_PLAN, mediaArchive(3000)), {
    code: /program-failed|file-failed/,
  });
  assert.deepEqual(readdirSync(folder), []);
});

test("a disk that gives back a whole artifact, but another one, is said to be not trusted", async () => {
  const folder = newFolder();
  for (const [partSize, plan, before, now] of [
    [undefined, MEDIA_PLAN, () => mediaArchive(3000), () => mediaArchive(3001)],
    [undefined, DUMP_PLAN, () => chunked(DUMP), () => chunked(DUMP)],
    [100_000, MEDIA_PLAN, () => mediaArchive(3000), () => mediaArchive(3000)],
  ] as const) {
    const { parts } = await writerIn(folder, lock, partSize).add(plan, before());
    const earlier = readFileSync(join(folder, parts[0]!.name));
    const lying: Files = { ...realFiles, read: () => chunked(earlier) };
    await assert.rejects(writerIn(folder, lock, partSize, lying).add(plan, now()), {
      code: "file-failed",
      message: /differs from what was written when it is read back/,
    });
    assert.deepEqual(readdirSync(folder), []);
  }
});
