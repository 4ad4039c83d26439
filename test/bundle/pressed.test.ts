import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test, type TestContext } from "node:test";
import { BundleWriter } from "../../src/bundle/writer.ts";
import { Interrupted } from "../../src/errors.ts";
import { gzipProgram } from "../../src/pipeline/gzip-program.ts";
import type { Bytes } from "../../src/pipeline/transform.ts";
import { type Files, realFiles } from "../../src/system/files/files.ts";
import { noProgress } from "../../src/system/progress.ts";
import { collect, flipped } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  lockWith,
  programsBefore,
  programsWith,
  QUICK_GPG,
  scriptsIn,
  SEARCHED,
} from "../support/real-world.ts";
import { DUMP, DUMP_PLAN, writerIn } from "../support/small-bundle.ts";
import { smallDisk } from "../support/small-disk.ts";

// A dump that flows from pg_dump through igzip into gpg, and nothing of ours sees it before it is read back.

const { name, format, label } = DUMP_PLAN;
const PLAN = { name, format, label };
const SEALED = `${name}.gpg`;
/** More than all pipes on the way hold. */
const LONG = DUMP.replace(
  "SELECT",
  `${"INSERT INTO events VALUES (1, 'some text');\n".repeat(60_000)}SELECT`,
);

interface World {
  readonly scripts?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly partSize?: number;
  readonly files?: Files;
  readonly folder?: string;
  /** Whether it is read back with our own gunzip. */
  readonly byOurs?: boolean;
}

/** A pg_dump that prints `text` after it was told so, a real igzip and a real gpg, unless a test has others. */
async function pressed(text: string, world: World = {}) {
  const folder = world.folder ?? temporaryFolder("bundle");
  const temporary = temporaryFolder("pipes");
  const dump = join(temporaryFolder("dump"), "dump.sql");
  await realFiles.writeAtomically(dump, text);
  const scripts = scriptsIn({ pg_dump: `cat ${dump}`, gpg: QUICK_GPG, ...world.scripts });
  const PATH = [scripts, SEARCHED].join(delimiter);
  const programs = programsWith({ PATH, TMPDIR: temporary }, world.signal);
  const writer = new BundleWriter({
    ...{
      folder,
      keys: lockWith("x", programs),
      files: world.files ?? realFiles,
      progress: noProgress,
      cores: 2,
    },
    ...(world.partSize === undefined ? {} : { partSize: world.partSize }),
  });
  const gzip = (await gzipProgram(programs, 2))!;
  const source: Bytes = gzip.compress(programs.pipe({ name: "pg_dump", args: [] }));
  return {
    folder,
    temporary,
    gzip,
    recorded: writer.addCompressed(PLAN, source, world.byOurs ? undefined : gzip.decompress),
  };
}

const children = () =>
  readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").filter(Boolean);

test("igzip is taken where it is installed, then pigz, then neither", async () => {
  const found = async (scripts: Record<string, string>) =>
    (await gzipProgram(programsWith({ PATH: scriptsIn(scripts) }), 2))?.name;
  assert.equal(await found({ igzip: "", pigz: "" }), "igzip");
  assert.equal(await found({ pigz: "" }), "pigz");
  assert.equal(await found({}), undefined);
});

test("what igzip made is one artifact like any other: whole, in parts of any size, and gunzip reads it", async () => {
  const whole = await pressed(LONG);
  assert.equal(whole.gzip.name, "igzip", "the real igzip is installed: npm run setup");
  const { size, plain, parts } = await whole.recorded;
  assert.equal(plain.size, LONG.length);
  assert.deepEqual(readdirSync(whole.folder), [SEALED]);
  assert.equal(statSync(join(whole.folder, SEALED)).mode & 0o777, 0o600);
  assert.equal(
    parts[0]!.sha256,
    execFileSync("sha256sum", [join(whole.folder, SEALED)], { encoding: "utf8" }).slice(0, 64),
  );
  for (const [partSize, sizes] of [
    [size, [size]],
    [size + 1, [size]],
    [size - 1, [size - 1, 1]],
  ] as const) {
    const cut = await pressed(LONG, { partSize, byOurs: partSize < size });
    const recorded = await cut.recorded;
    // igzip's header has a time in it, and gpg's message a salt: sizes are the same, bytes are not.
    assert.deepEqual(
      recorded.parts.map((part) => part.size),
      sizes,
    );
    assert.deepEqual(recorded.plain, plain);
    assert.deepEqual(readdirSync(cut.temporary), []);
  }
});

const REAL_GPG = "/usr/bin/gpg";
const REAL_IGZIP = "/usr/bin/igzip";
const whenItPacks = (script: string) => ({
  igzip: `case "$*" in *--decompress*) exec ${REAL_IGZIP} "$@" ;; *) ${script} ;; esac`,
});
const whenItUnpacks = (script: string) => ({
  igzip: `case "$*" in *--decompress*) ${script} ;; *) exec ${REAL_IGZIP} "$@" ;; esac`,
});
const whenItEncrypts = (script: string) => ({
  gpg: `case "$*" in *--symmetric*) ${script} ;; *) exec ${REAL_GPG} "$@" ;; esac`,
});

for (const [what, scripts, text, error] of [
  [
    "pg_dump is killed half way",
    { pg_dump: "echo --; yes | head -c 200000; kill -KILL $$" },
    LONG,
    /pg_dump was killed by SIGKILL/,
  ],
  [
    "pg_dump fails before its first byte",
    { pg_dump: "echo no luck >&2; exit 1" },
    LONG,
    /pg_dump failed with exit code 1: no luck/,
  ],
  [
    "pg_dump ends half way as if all were well",
    {},
    LONG.slice(0, -200),
    /database: the database dump is incomplete/,
  ],
  [
    "igzip is killed half way",
    whenItPacks("head -c 5000; kill -KILL $$"),
    LONG,
    /igzip was killed by SIGKILL/,
  ],
  [
    "igzip fails at its end",
    whenItPacks("gzip -1; echo bad >&2; exit 3"),
    LONG,
    /igzip failed with exit code 3: bad/,
  ],
  [
    "igzip stops reading and says 0",
    whenItPacks("head -c 5000 | gzip -1; exit 0"),
    LONG,
    /igzip stopped reading/,
  ],
  [
    "igzip passes half on and says 0",
    whenItPacks("gzip -1 | head -c 5000; cat >/dev/null"),
    LONG,
    /damaged|unexpected end/,
  ],
  ["igzip passes all on as it is", whenItPacks("cat"), LONG, /damaged/],
  [
    "gpg is killed half way",
    whenItEncrypts("head -c 5000 >/dev/null; kill -KILL $$"),
    LONG,
    /gpg was killed by SIGKILL/,
  ],
  [
    "gpg fails at its end",
    whenItEncrypts(`${REAL_GPG} "$@"; echo bad >&2; exit 2`),
    LONG,
    /gpg failed with exit code 2: bad/,
  ],
  ["gpg stops reading and says 0", whenItEncrypts("head -c 50; exit 0"), LONG, /gpg stopped reading/],
  ["gpg passes the plain text on", whenItEncrypts("cat"), LONG, /gpg failed|damaged/],
] as const)
  test(`nothing is left, on disk or running, when ${what}`, async () => {
    for (const [partSize, byOurs] of [
      [undefined, false],
      [3000, false],
      [undefined, true],
    ] as const) {
      const { folder, temporary, recorded } = await pressed(text, {
        ...{ scripts, byOurs },
        ...(partSize === undefined ? {} : { partSize }),
      });
      await assert.rejects(recorded, (thrown: Error & { code: string }) => {
        assert.match(thrown.message, error);
        return ["program-failed", "file-failed"].includes(thrown.code);
      });
      assert.deepEqual(readdirSync(folder), []);
      assert.deepEqual(
        readdirSync(temporary).filter((found) => found.includes("pipe")),
        [],
      );
      assert.deepEqual(children(), []);
    }
  });

for (const [what, script, error] of [
  ["is killed half way", "head -c 5000 >/dev/null; kill -KILL $$", /^igzip was killed by SIGKILL/],
  ["fails at its end", `${REAL_IGZIP} "$@"; exit 3`, /^igzip failed with exit code 3/],
  ["gives half of it and says 0", `${REAL_IGZIP} "$@" | head -c 5000; cat >/dev/null`, /dump is incomplete/],
] as const)
  test(`nothing is left when the igzip that unpacks ${what}`, async () => {
    const { folder, recorded } = await pressed(LONG, { scripts: whenItUnpacks(script) });
    await assert.rejects(recorded, (thrown: Error & { code: string }) => {
      assert.match(thrown.message, error);
      return ["program-failed", "file-failed"].includes(thrown.code);
    });
    assert.deepEqual(readdirSync(folder), []);
    assert.deepEqual(children(), []);
  });

test("a disk that gives back other bytes is found out by igzip or by gpg", async () => {
  for (const at of [200, 3000, 9000]) {
    const files: Files = {
      ...realFiles,
      async *read(path, range) {
        const bytes = await collect(realFiles.read(path, { ...range, reuse: false }));
        yield (range?.from ?? 0) === 0 ? flipped(bytes, at) : bytes;
      },
    };
    const { folder, recorded } = await pressed(LONG, { files });
    await assert.rejects(recorded, { code: /program-failed|file-failed/ });
    assert.deepEqual(readdirSync(folder), []);
  }
});

test("a disk that gets full is named, and ends all three programs", async (t: TestContext) => {
  const folder = await smallDisk(t);
  const noise = Array.from(
    { length: 60_000 },
    (_, at) => `${Math.sin(at) * 1e17} ${Math.cos(at) * 1e17}`,
  ).join("\n");
  for (const partSize of [undefined, 300_000]) {
    const full = await pressed(LONG.replace("SELECT", `${noise}\nSELECT`), {
      folder,
      ...(partSize === undefined ? {} : { partSize }),
    });
    await assert.rejects(full.recorded, { code: "disk-full" });
    assert.deepEqual(readdirSync(folder), []);
    assert.deepEqual(children(), []);
  }
});

test("a run that is stopped ends all three programs and leaves no pipe and no file", async () => {
  const controller = new AbortController();
  const stop = new Interrupted("SIGTERM");
  const scripts = { pg_dump: "trap '' TERM; echo begun; exec sleep 60" };
  const { folder, temporary, recorded } = await pressed(LONG, { scripts, signal: controller.signal });
  setTimeout(() => {
    controller.abort(stop);
  }, 400);
  await assert.rejects(recorded, (error) => error === stop);
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(
    readdirSync(temporary).filter((found) => found.includes("pipe")),
    [],
  );
  assert.deepEqual(children(), []);
});

test("what cannot be read back ends the writing, however much there would still be to write", async () => {
  const folder = temporaryFolder("bundle");
  const gpg = `case "$*" in *--decrypt*) head -c 5000 >/dev/null; echo no >&2; exit 2 ;; *) exec ${REAL_GPG} "$@" ;; esac`;
  const lock = lockWith("x", programsBefore({ gpg }));
  let given = 0;
  const endless = async function* (): Bytes {
    for (;;) {
      await Promise.resolve();
      given += 512 * 1024;
      yield Buffer.alloc(512 * 1024);
    }
  };
  const plan = { name: "x.tar.gz", format: "tar", level: 0, label: "x" } as const;
  await assert.rejects(writerIn(folder, lock).add(plan, endless()), {
    message: /gpg failed with exit code 2: no/,
  });
  assert.ok(given >= 8 * 1024 * 1024, "until then there was nothing to read back");
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(children(), []);
});
