import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { EXIT_CODES } from "../../src/errors.ts";
import { startFollow, untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides, type NewSide, type TwoSides } from "../support/follow/two-sides.ts";
import { unprivilegedAccount } from "../support/lab/postgres-cluster.ts";
import { filesBelow } from "../support/secrets.ts";
import { smallDisk } from "../support/small-disk.ts";
import { onTerminal } from "../support/on-terminal.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// What goes wrong with media beside a database that follows, and the end without a move.

let two: TwoSides;
let store: string;
let untouched: Awaited<ReturnType<TwoSides["traces"]>>;

before(async () => {
  two = await makeTwoSides();
  store = two.server.old.home.mediaStorePath;
  untouched = await two.traces();
});

after(() => two.close());

async function upload(size: number): Promise<string> {
  const mxc = await two.server.old.people.alice.upload(
    randomBytes(size),
    "application/octet-stream",
    "x.bin",
  );
  const id = mxc.split("/").at(-1)!;
  const name = join("local_content", id.slice(0, 2), id.slice(2, 4), id.slice(4));
  settle(name);
  return name;
}

/** Long before: what was written in the last half minute waits for a later pass. */
function settle(name: string): void {
  utimesSync(join(store, name), 1_700_000_000, 1_700_000_000);
}

function put(name: string, bytes: Uint8Array): void {
  writeFileSync(join(store, name), bytes);
  settle(name);
}

async function withPlace(act: (place: NewSide) => Promise<void>, folder?: string): Promise<void> {
  const place = await makeNewSide(two.to, folder === undefined ? {} : { folder });
  try {
    await act(place);
  } finally {
    // Nothing of one test is in the way of the next.
    await synlift(place.stop);
    await place.close();
  }
}

const mediaOf = async ({ status }: NewSide) =>
  resultOf(await synliftWell(status)).details["media"] as {
    last: { at: string; here: { files: number } } | null;
    failed: { code: string } | null;
  };

async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  for (const limit = performance.now() + 60_000; !(await isSo());) {
    if (performance.now() > limit) throw new Error(`not in a minute: ${what}`);
    await wait(200);
  }
}

const MIB = 1024 * 1024;

test("a disk that is too small for the media is told before anything is begun", async (t) => {
  const disk = await smallDisk(t, "4m", "0755");
  for (let count = 0; count < 4; count += 1) await upload(MIB);
  await withPlace(async (place) => {
    const at = place.follow.indexOf("--media-dir");
    const refused = await synlift([...place.follow.with(at + 1, join(disk, "media")), "--until-caught-up"]);
    assert.equal(refused.code, EXIT_CODES["disk-full"], refused.stderr);
    assert.match(refused.stderr, /the media need .*--media-dir/s);
    assert.equal(existsSync(place.data), false);
    assert.deepEqual(await two.traces(), untouched);
  });
});

test("media that fill their disk never end the following; told, they go on once there is room", async (t) => {
  const disk = await smallDisk(t, "24m", "0755");
  const writer = await two.write({ perSecond: 5 });
  await withPlace(async (given) => {
    const mediaDir = join(disk, "media");
    const at = given.follow.indexOf("--media-dir");
    const place = { ...given, mediaDir, follow: given.follow.with(at + 1, mediaDir) };
    await synliftWell([...place.follow, "--until-caught-up"]);
    const { bavail, bsize } = statfsSync(disk);
    execFileSync("fallocate", ["-l", `${bavail * bsize - 2 * MIB}`, join(disk, "filler")]);
    const name = await upload(3 * MIB);
    const full = await synlift([...place.follow, "--until-caught-up"]);
    assert.equal(full.code, EXIT_CODES["disk-full"], full.stderr);
    const running = startFollow(place, "--media-every", "2s");
    // Before, a look at how it is would hold the lock for a moment.
    await untilFollows(place, await two.position(), running);
    await until("it is told", async () => (await mediaOf(place)).failed?.code === "disk-full");
    await writer.more(5);
    await untilFollows(place, await two.position(), running);
    const status = resultOf(await synliftWell(place.status));
    assert.ok(status.findings.some(({ id, level }) => id === "follow-media-failed" && level === "warning"));
    rmSync(join(disk, "filler"));
    await until("it has come", () => existsSync(join(mediaDir, name)));
    assert.equal(running.hasEnded(), false);
    await until("nothing is wrong any more", async () => (await mediaOf(place)).failed === null);
    await running.interrupt();
    await synliftWell(place.stop);
    assert.equal(existsSync(mediaDir), false);
  });
  await writer.stop();
  writer.nobodyMustBeRefused();
  assert.deepEqual(await two.traces(), untouched);
});

test("an upload that is no file, or cannot be found, is told at once, and the rest is copied", async () => {
  const name = await upload(1000);
  const bytes = readFileSync(join(store, name));
  rmSync(join(store, name));
  symlinkSync("/etc/hostname", join(store, name));
  try {
    await withPlace(async (place) => {
      const { findings } = resultOf(await synliftWell([...place.follow, "--dry-run"]));
      const told = findings.find(({ id }) => id === "follow-media-incomplete");
      assert.match((told?.evidence ?? []).join("; "), /1 upload without a file.*links, special files/);
      await synliftWell([...place.follow, "--until-caught-up"]);
      assert.equal(existsSync(join(place.mediaDir, name)), false);
      assert.ok(filesBelow(place.mediaDir).length > 5);
      await synliftWell(place.stop);
    });
  } finally {
    rmSync(join(store, name));
    put(name, bytes);
  }
});

test("an upload whose content was changed on the old host is told, and pull has it sent again and refuses it", async () => {
  const name = await upload(1000);
  const bytes = readFileSync(join(store, name));
  put(name, randomBytes(1000));
  try {
    await withPlace(async (place) => {
      await synliftWell([...place.follow, "--until-caught-up"]);
      const { findings } = resultOf(await synliftWell(place.status));
      assert.ok(findings.some(({ id }) => id === "follow-media-changed"));
      const refused = await synlift(place.cutOver);
      assert.equal(refused.code, EXIT_CODES["media-missing"], refused.stderr);
      assert.match(refused.stderr, /are not the files that were uploaded/);
      assert.equal(two.server.systemctl.isActive("old-synapse.service"), true);
      await synliftWell(place.stop);
      assert.equal(existsSync(place.mediaDir), false);
    });
  } finally {
    put(name, bytes);
    rmSync(two.to.exportFolder, { recursive: true, force: true });
  }
});

test("media whose disk is not mounted are not copied to another one, and go on once it is", async () => {
  await withPlace(async (place) => {
    await synliftWell([...place.follow, "--until-caught-up"]);
    renameSync(place.mediaDir, `${place.mediaDir}.away`);
    const missing = await synlift([...place.follow, "--until-caught-up"]);
    assert.equal(missing.code, EXIT_CODES["file-missing"], missing.stderr);
    assert.match(missing.stderr, /are not there any more.*mount the disk/s);
    assert.equal(existsSync(place.mediaDir), false);
    renameSync(`${place.mediaDir}.away`, place.mediaDir);
    await synliftWell([...place.follow, "--until-caught-up"]);
    await synliftWell(place.stop);
  });
});

test("a record that cannot be read keeps the media from being copied, and nothing else", async () => {
  await withPlace(async (place) => {
    await synliftWell([...place.follow, "--until-caught-up"]);
    const record = join(place.configDir, ".synlift/follow-media.json");
    const text = readFileSync(record, "utf8");
    writeFileSync(record, "not JSON");
    const plain = ["follow", "--config-dir", place.configDir, "--until-caught-up", "--json"];
    const ran = await synliftWell(plain);
    assert.match(ran.stderr, /media are not copied: .*follow-media\.json cannot be read/);
    const { findings, details } = resultOf(await synliftWell(place.status));
    assert.ok(findings.some(({ id }) => id === "follow-media-failed"));
    assert.equal(details["stage"], "following");
    assert.notEqual((await synlift(place.stop)).code, 0, "what was written is not known");
    writeFileSync(record, text);
    await synliftWell(place.stop);
    assert.equal(existsSync(place.mediaDir), false);
  });
});

test("media belong to the account that was named, and pull for another one is refused", async (t) => {
  const account = unprivilegedAccount();
  if (!account) {
    t.skip("only root can give files away");
    return;
  }
  const owner = execFileSync("id", ["-un", `${account.uid}`], { encoding: "utf8" }).trim();
  await withPlace(async (place) => {
    await synliftWell([...place.follow, "--owner", owner, "--until-caught-up"]);
    for (const path of filesBelow(place.mediaDir))
      for (let at = path; at !== dirname(place.mediaDir); at = dirname(at))
        assert.equal(statSync(at).uid, account.uid, at);
    const refused = await synlift([...place.cutOver, "--dry-run"]);
    assert.equal(refused.code, EXIT_CODES["bad-usage"], refused.stderr);
    assert.match(refused.stderr, new RegExp(`were copied for ${owner}.*give --owner ${owner}`, "s"));
    await synliftWell([...place.cutOver, "--owner", owner, "--dry-run"]);
    await synliftWell(place.stop);
    assert.equal(existsSync(place.mediaDir), false);
  });
});

test("the end asks once, says what it deletes, and leaves what is not follow's", async () => {
  await withPlace(async (place) => {
    await synliftWell([...place.follow, "--until-caught-up"]);
    const foreign = join(place.mediaDir, "local_content/zz/zz/foreign");
    mkdirSync(dirname(foreign), { recursive: true });
    writeFileSync(foreign, "somebody's");
    const plain = place.stop.filter((word) => word !== "--json" && word !== "--yes");
    const dry = (await synliftWell([...plain, "--dry-run"])).stdout;
    assert.match(
      dry,
      /delete the media that were copied to .*media on this host: \d+ files, .*; what else lies there stays/,
    );
    const no = await onTerminal(plain, { keys: [[/Delete the copy\?/, "n\r"]] });
    assert.equal(no.code, EXIT_CODES["bad-usage"]);
    assert.ok(filesBelow(place.mediaDir).length > 5);
    await synliftWell(place.stop);
    assert.deepEqual(filesBelow(place.mediaDir), [foreign]);
    assert.deepEqual(await two.traces(), untouched);
  });
});

test("a copy that is begun again keeps the media that are here", async () => {
  await withPlace(async (place) => {
    await synliftWell([...place.follow, "--until-caught-up"]);
    const before = await mediaOf(place);
    await synliftWell([...place.follow, "--begin-again", "--until-caught-up"]);
    const now = await mediaOf(place);
    assert.deepEqual(now.last?.here, before.last?.here);
    assert.deepEqual((now.last as unknown as { came: object }).came, { files: 0, bytes: 0 });
    await synliftWell(place.stop);
    assert.equal(existsSync(place.mediaDir), false);
  });
});
