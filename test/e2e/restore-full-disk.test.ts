import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  exportTo,
  makeNewPlace,
  makeOldServer,
  type NewPlace,
  type OldServer,
} from "../support/old-server.ts";
import { mustBeProven, rowsToRestore } from "../support/restored.ts";
import { smallDisk } from "../support/small-disk.ts";
import { synlift, synliftWell } from "../support/synlift.ts";

// The new host's disks get full while a bundle is restored onto them: once the database's, once the media's.

let old: OldServer;
let work: string;
let expectedRows: ReadonlyMap<string, number>;

const bundleOf = (format: string) => join(work, format);
const keyOf = (format: string) => ["--passphrase-file", `${bundleOf(format)}.passphrase`];

before(async () => {
  old = await makeOldServer({ stopped: true });
  work = temporaryFolder("full");
  expectedRows = await rowsToRestore(old.cluster);
  for (const format of ["plain", "custom"])
    await synliftWell([...exportTo(old, bundleOf(format)), "--db-format", format]);
});

after(async () => {
  await old.server.stop();
  await old.cluster.stop();
});

const mustBeRestored = (place: NewPlace, format: string) =>
  mustBeProven(old.cluster, place, { rows: expectedRows, key: keyOf(format) });

for (const format of ["plain", "custom"])
  test(`a database's disk that gets full ends a restore of ${format} by name, and with room it is begun again`, async (t) => {
    const place = await makeNewPlace(old.cluster, `full_${format}`, await freePort());
    const disk = await smallDisk(t, "9m");
    const space = join(disk, "space");
    mkdirSync(space);
    if (process.getuid?.() === 0) giveToPostgres(disk, space);
    await old.cluster.sql("postgres", `create tablespace ${place.database} location '${space}'`);
    await old.cluster.sql(
      "postgres",
      `create database ${place.database} owner ${place.database} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C' tablespace ${place.database}`,
    );
    t.after(async () => {
      await old.cluster.sql("postgres", `drop database ${place.database}`);
      await old.cluster.sql("postgres", `drop tablespace ${place.database}`);
    });
    const restore = ["restore", bundleOf(format), ...keyOf(format), ...place.restoreArgs, "--yes"];
    const ran = await synlift(restore);
    assert.equal(ran.code, 42, ran.stderr);
    // pg_restore tells no SQLSTATE, so that the server's message, which may quote a row, is not shown.
    assert.match(
      ran.stderr,
      format === "plain"
        ? /No space left on\s+device/
        : /could not execute query \(the server's\s+own message/,
    );
    assert.equal((await synlift(["open", ...place.openArgs, ...keyOf(format)])).code, 23);

    execFileSync("mount", ["-o", "remount,size=200m", disk]);
    await synliftWell(restore);
    await mustBeRestored(place, format);
  });

function giveToPostgres(disk: string, space: string): void {
  const uid = Number(execFileSync("id", ["-u", "postgres"], { encoding: "utf8" }));
  for (const path of [disk, space]) chownSync(path, uid, uid);
  for (let above = dirname(disk); above !== "/tmp" && above !== "/"; above = dirname(above))
    execFileSync("chmod", ["o+x", above]);
}

test("media's disk that gets full after it was looked at is named, and with room the rest is copied", async (t) => {
  const place = await makeNewPlace(old.cluster, "full_media", await freePort());
  const disk = await smallDisk(t, "40m");
  const mediaDir = join(disk, "media");
  const args = place.restoreArgs.map((word) => (word === place.mediaDir ? mediaDir : word));
  const restore = ["restore", bundleOf("plain"), ...keyOf("plain"), ...args, "--json"];
  const filler = join(disk, "filler");
  let filled = false;
  const ran = await synlift(restore, {
    killWhen: (said) => {
      if (filled || !/"begin".*"restore\/database"/.test(said)) return false;
      filled = true;
      try {
        writeFileSync(filler, Buffer.alloc(64 * 1024 * 1024));
      } catch {
        // Until nothing more went in.
      }
      return false;
    },
  });
  assert.ok(filled);
  assert.equal(ran.code, 33, ran.stderr);
  rmSync(filler);
  await synliftWell(restore);
  assert.ok(readdirSync(mediaDir).includes("local_content"));
  await mustBeRestored(place, "plain");
});
