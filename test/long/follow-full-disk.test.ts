import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { EXIT_CODES } from "../../src/errors.ts";
import { startFollow, untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides } from "../support/follow/two-sides.ts";
import { smallDisk } from "../support/small-disk.ts";
import { synlift } from "../support/synlift.ts";

const MIB = 1024 * 1024;

/** Bytes that are free there. */
function freeAt(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Takes away all room but so many bytes, until the file is removed. */
function fill(file: string, left: number): void {
  const bytes = freeAt(join(file, "..")) - left;
  execFileSync("fallocate", ["-l", `${bytes}`, file]);
}

test("a disk of the new host that is full never harms the old server, and with room the copy goes on", async (t) => {
  const disk = await smallDisk(t, "900m", "0755");
  const filler = join(disk, "filler");
  const two = await makeTwoSides();
  const place = await makeNewSide(two.to, { folder: join(disk, "new") });
  try {
    const writer = await two.write({ perSecond: 10 });
    fill(filler, 30 * MIB);
    const untouched = await two.traces();
    const refused = await synlift([...place.follow, "--until-caught-up"]);
    assert.equal(refused.code, EXIT_CODES["disk-full"], refused.stderr);
    assert.deepEqual(
      (await two.traces())["slots"],
      untouched["slots"],
      "nothing holds back the log of the old server",
    );
    rmSync(filler);

    const running = startFollow(place);
    await untilFollows(place, await two.position(), running);
    fill(filler, 20 * MIB);
    await two.server.old.cluster.sql(
      "old",
      "set role old; create table large as select n, repeat(md5(n::text), 30) as words from generate_series(1, 60000) n",
    );
    while (freeAt(disk) > 8 * MIB) await wait(200);
    const failures = writer.failures;
    await writer.more(50);
    assert.equal(writer.failures, failures, writer.lastFailure);
    assert.equal(running.hasEnded(), false);
    rmSync(filler);
    await untilFollows(place, await two.position(), running);
    assert.equal(await place.sql("select count(*) from large"), "60000");
    await running.interrupt();
    assert.ok(existsSync(place.data));
  } finally {
    await place.close();
    await two.close();
  }
});
