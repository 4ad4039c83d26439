import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { EXIT_CODES } from "../../src/errors.ts";
import { startedUpdatesAreDone, untilInCopy } from "../support/follow/logical-sides.ts";
import { startFollow, untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides } from "../support/follow/two-sides.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { smallDisk } from "../support/small-disk.ts";
import { synlift, synliftWell } from "../support/synlift.ts";

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
  const disk = await smallDisk(t, "1500m", "0755");
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
    const before = writer.refusals.length;
    await writer.more(50);
    writer.nobodyMustBeRefused(before);
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

test("the same by logical replication, where it is the new PostgreSQL that has no room", async (t) => {
  const disk = await smallDisk(t, "1500m", "0755");
  const filler = join(disk, "filler");
  const two = await makeTwoSides({ settings: { wal_level: "logical" } });
  const target = await PostgresCluster.start({
    major: 16,
    within: disk,
    settings: { min_wal_size: "32MB", max_wal_size: "48MB" },
  });
  const place = await makeNewSide(two.to, { target });
  /** Without room for its log it ends, as on a host where nothing starts it again. */
  const startedAgain = async () => {
    rmSync(filler);
    await target.crash();
    await target.startAgain();
  };
  try {
    const writer = await two.write({ perSecond: 10 });
    await startedUpdatesAreDone(two);
    const untouched = await two.traces();
    fill(filler, 4 * MIB);
    const refused = await synlift([...place.follow, "--until-caught-up"]);
    assert.equal(refused.code, EXIT_CODES["disk-full"], refused.stderr);
    assert.deepEqual(await two.traces(), untouched);
    rmSync(filler);

    const filled = await synlift([...place.follow, "--until-caught-up"], {
      killWhen: (said) => {
        if (said.includes("follow/rows") && !existsSync(filler)) fill(filler, 2 * MIB);
        return false;
      },
    });
    assert.equal(filled.code, EXIT_CODES["disk-full"], filled.stderr);
    await startedAgain();
    const running = startFollow(place);
    await untilInCopy(place, writer, running);

    fill(filler, 2 * MIB);
    const here = writer.refusals.length;
    await two.server.old.cluster.sql(
      "old",
      "insert into device_inbox (user_id, device_id, stream_id, message_json) select '@large:x', 'D', 900000 + n, repeat(md5(n::text), 30) from generate_series(1, 60000) n",
    );
    await writer.more(100);
    if (running.hasEnded()) assert.fail((await running.ended).stderr.slice(-3000));
    await startedAgain();
    await untilInCopy(place, writer, running);
    assert.equal(await place.sql("select count(*) from device_inbox where user_id = '@large:x'"), "60000");
    writer.nobodyMustBeRefused(here);
    const ended = await running.interrupt();
    assert.equal(ended.code, 0, ended.stderr);
    await synliftWell(place.stop);
    assert.deepEqual(await two.traces(), untouched);
    writer.nobodyMustBeRefused();
  } finally {
    await place.close();
    await target.stop();
    await two.close();
  }
});
