import assert from "node:assert/strict";
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ARTIFACTS, mustBeWhole, packed, testKilledAt } from "../support/killed-at.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { exportTo as exportOf, makeOldServer, type OldServer } from "../support/old-server.ts";
import { eventsOf, type Ran, synlift, synliftWell } from "../support/synlift.ts";

// An export that is interrupted at chosen points.

let old: OldServer;
let work: string;

const exportTo = (out: string) => exportOf(old, out);

before(async () => {
  old = await makeOldServer({ stopped: true });
  work = temporaryFolder("cut");
});

after(async () => {
  await old.server.stop();
  await old.cluster.stop();
});

// Before anything is finished, while an artifact is read back, and at the last one; test/long has the other three moments.
testKilledAt(
  [
    ["write", 0],
    ["check", 1],
    ["write", 2],
  ],
  () => ({ old, work }),
);

test("a part that was damaged, shortened or removed meanwhile is named and packed again, and the others are not", async () => {
  const out = join(work, "damaged");
  await synliftWell(exportTo(out));
  const [config, database, media] = ARTIFACTS.map((name) => join(out, name));
  // Two at once and then the third: what is whole stays as it is.
  for (const [damage, damaged] of [
    [
      () => {
        truncateSync(config!, statSync(config!).size - 1);
        rmSync(media!);
      },
      { "export/config": ARTIFACTS[0], "export/media": ARTIFACTS[2] },
    ],
    [
      () => {
        flip(database!);
      },
      { "export/database": ARTIFACTS[1] },
    ],
  ] as const) {
    damage();
    const again = await synliftWell(exportTo(out));
    assert.deepEqual(packed(again), Object.values(damaged));
    for (const [step, artifact] of Object.entries(damaged)) {
      const remark = eventsOf(again).find(({ type, id }) => type === "remark" && id === step);
      const name = artifact.slice(0, artifact.indexOf("."));
      assert.match(JSON.stringify(remark), new RegExp(`running again: .*${name}`));
    }
    await mustBeWhole(out);
  }
});

test("a configuration that changed meanwhile is packed again, and only that", async () => {
  const out = join(work, "changed");
  await synliftWell(exportTo(out));
  const path = join(old.configPaths[1]!, "limits.yaml");
  const before = readFileSync(path);
  writeFileSync(path, `${before.toString()}max_upload_size: 30M\n`);
  const again = await synliftWell(exportTo(out));
  writeFileSync(path, before);
  assert.deepEqual(packed(again), [ARTIFACTS[0]]);
  await mustBeWhole(out);
});

test("a database that was written to after its dump is dumped again", async () => {
  const out = join(work, "written");
  await synliftWell(exportTo(out));
  await old.cluster.sql("old", "select nextval('events_stream_seq')");
  const again = await synliftWell(exportTo(out));
  assert.deepEqual(packed(again), [ARTIFACTS[1]]);
  assert.match(again.stderr, /database changed since the last run/);
});

test("a server that writes while it is packed is noticed before the bundle is sealed", async () => {
  const out = join(work, "meanwhile");
  let written: Promise<unknown> | undefined;
  const ran = await synlift(exportTo(out), {
    killWhen: (said) => {
      if (said.includes(`"write/${ARTIFACTS[2]}"`))
        written ??= old.cluster.sql("old", "select nextval('events_stream_seq')");
      return false;
    },
  });
  await written;
  assert.equal(ran.code, 16, ran.stderr);
  assert.equal(existsSync(join(out, "manifest.json")), false);
  const again = await synliftWell(exportTo(out));
  assert.deepEqual(packed(again), [ARTIFACTS[1]]);
  await mustBeWhole(out);
});

test("a folder of uploads that is a link elsewhere is refused, not left out silently", async () => {
  const out = join(work, "linked");
  const store = join(old.home.mediaStorePath, "local_content");
  const folder = join(store, readdirSync(store)[0]!);
  renameSync(folder, `${work}/elsewhere`);
  symlinkSync(`${work}/elsewhere`, folder);
  try {
    const ran = await synlift(exportTo(out));
    assert.equal(ran.code, 15, ran.stderr);
    assert.match(eventsOf(ran).at(-1)!.hint!, /--accept media-special-files/);
  } finally {
    rmSync(folder);
    renameSync(`${work}/elsewhere`, folder);
  }
});

test("another passphrase is refused, and what is finished stays as it is", async () => {
  const out = join(work, "passphrase");
  await synliftWell(exportTo(out));
  const other = join(work, "other.passphrase");
  writeFileSync(other, "another one\n");
  const ran = await synlift([...exportTo(out), "--passphrase-file", other]);
  assert.equal(ran.code, 51, ran.stderr);
  await mustBeWhole(out);
});

test("of two exports at once the second says who is at work, and the first ends well", async () => {
  const out = join(work, "two");
  const first = synlift(exportTo(out));
  let second: Ran;
  do second = await synlift(["status", "--out", out]);
  while (second.code !== 0);
  second = await synlift(exportTo(out));
  assert.equal(second.code, 21, second.stderr);
  assert.match(second.stderr, /process \d+ on .* has been working with .* since/);
  assert.equal((await first).code, 0);
  await mustBeWhole(out);
});

test("an export that is asked to stop says so, leaves nothing incomplete, and goes on later", async () => {
  const out = join(work, "asked");
  let child: { kill(signal: NodeJS.Signals): boolean } | undefined;
  const ran = await synlift(exportTo(out), {
    started: (started) => (child = started),
    killWhen: (said) => {
      if (!said.includes(`"write/${ARTIFACTS[1]}"`)) return false;
      // Once: a second signal would end it at once, without an event.
      child?.kill("SIGTERM");
      child = undefined;
      return false;
    },
  });
  assert.equal(ran.code, 143, ran.stderr);
  assert.equal(eventsOf(ran).at(-1)?.code, "interrupted");
  assert.deepEqual(
    readdirSync(out).filter(
      (name) => name.includes("unfinished") || name === "lock" || name === "manifest.json",
    ),
    [],
  );
  await synliftWell(exportTo(out));
  await mustBeWhole(out);
});

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[Math.floor(bytes.length / 2)]! ^= 1;
  writeFileSync(path, bytes);
}
