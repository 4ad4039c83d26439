import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { EXIT_CODES } from "../../src/errors.ts";
import { startFollow, untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides, type NewSide, type TwoSides } from "../support/follow/two-sides.ts";
import { filesBelow } from "../support/secrets.ts";
import { eventsOf, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// Media beside a database that follows, between a real Synapse and a new host, over a real sshd. The tests are its steps, in order.

let two: TwoSides;
let place: NewSide;
let store: string;

before(async () => {
  two = await makeTwoSides();
  place = await makeNewSide(two.to);
  store = two.server.old.home.mediaStorePath;
});

after(async () => {
  await place.close();
  await two.close();
});

/** Long before: what was written in the last half minute waits for a later pass. */
const LONG_AGO = 1_700_000_000;

/** Uploads for people, and returns where the file is on the old host, below its store. */
async function upload(size: number): Promise<{ mxc: string; name: string; sha256: string }> {
  const bytes = randomBytes(size);
  const mxc = await two.server.old.people.alice.upload(bytes, "application/octet-stream", "file.bin");
  const id = mxc.split("/").at(-1)!;
  const name = join("local_content", id.slice(0, 2), id.slice(2, 4), id.slice(4));
  return { mxc, name, sha256: createHash("sha256").update(bytes).digest("hex") };
}

const settle = (name: string) => {
  utimesSync(join(store, name), LONG_AGO, LONG_AGO);
};

/** Local media of a store: name, size, seconds of its time, and what is in it. */
const contentsOf = (folder: string) =>
  ["local_content", "local_thumbnails"]
    .filter((one) => existsSync(join(folder, one)))
    .flatMap((one) => filesBelow(join(folder, one)))
    .map((path) => {
      const { size, mtimeMs } = statSync(path);
      const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex");
      return [relative(folder, path), size, Math.floor(mtimeMs / 1000), sha256].join(" ");
    });

function withoutPlace(args: readonly string[]): string[] {
  const at = args.indexOf("--media-dir");
  return args.filter((_, index) => index !== at && index !== at + 1);
}

interface MediaDetails {
  last: { at: string; here: { files: number; bytes: number }; came: { files: number; bytes: number } } | null;
  running: { came: { bytes: number } } | null;
  failed: { code: string; message: string } | null;
}

async function mediaStatus(): Promise<MediaDetails | null> {
  const { details } = resultOf(await synliftWell(place.status));
  return details["media"] as MediaDetails | null;
}

async function untilMedia(what: string, isSo: (media: MediaDetails | null) => boolean): Promise<void> {
  let media = await mediaStatus();
  for (const limit = performance.now() + 60_000; !isSo(media); media = await mediaStatus()) {
    if (performance.now() > limit) throw new Error(`not in a minute: ${what}: ${JSON.stringify(media)}`);
    await wait(200);
  }
}

test("a dry run says how much is copied and where to, and a place has to be said", async () => {
  const { details: _, ...said } = resultOf(await synliftWell([...place.follow, "--dry-run"]));
  assert.equal(said.findings.filter(({ level }) => level === "warning").length, 0);
  const plain = place.follow.filter((word) => word !== "--json");
  const text = (await synliftWell([...plain, "--dry-run"])).stdout;
  const count = contentsOf(store).length;
  assert.match(text, new RegExp(`copy the media beside it, ${count} files, .* into ${place.mediaDir}`));
  assert.equal(existsSync(place.mediaDir), false);
  const nowhere = withoutPlace(plain);
  const refused = await synlift([...nowhere, "--dry-run"]);
  assert.equal(refused.code, EXIT_CODES["bad-usage"], refused.stdout);
  assert.match(refused.stderr, /--media-dir: must be given.*--without-media/s);
  const without = (await synliftWell([...nowhere, "--without-media", "--dry-run"])).stdout;
  assert.match(without, /media are not copied beside it/);
});

test("a folder that has media already is refused, and left as it is", async () => {
  const file = join(place.mediaDir, "local_content/aa/bb/foreign");
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, "somebody's");
  const refused = await synlift([...place.follow, "--until-caught-up"]);
  assert.equal(refused.code, EXIT_CODES["target-not-empty"], refused.stderr);
  assert.equal(readFileSync(file, "utf8"), "somebody's");
  rmSync(place.mediaDir, { recursive: true });
});

test("a copy that was begun without media gets them as soon as a place is given", async () => {
  await synliftWell([...withoutPlace(place.follow), "--without-media", "--until-caught-up"]);
  assert.equal(await mediaStatus(), null);
  assert.equal(existsSync(place.mediaDir), false);
});

test("killed in the middle of its first pass, the next brings the rest, as it is on the old host", async () => {
  for (let count = 0; count < 6; count += 1) settle((await upload(150_000)).name);
  // 32 KiB a second: it cannot have finished.
  const running = startFollow(place, "--max-rate", "32k");
  await untilFollows(place, await two.position(), running);
  await untilMedia("a part has come", (media) => (media?.running?.came.bytes ?? 0) > 0);
  while (!existsSync(place.mediaDir) || filesBelow(place.mediaDir).length < 3) await wait(50);
  await running.kill();
  assert.ok(contentsOf(place.mediaDir).length < contentsOf(store).length);
  const came = contentsOf(place.mediaDir).filter((line) => !line.includes(".unfinished "));
  await synliftWell([...place.follow, "--max-rate", "1000M", "--until-caught-up"]);
  assert.deepEqual(contentsOf(place.mediaDir), contentsOf(store));
  const { last, failed } = (await mediaStatus())!;
  assert.equal(failed, null);
  assert.equal(last?.here.files, contentsOf(store).length);
  assert.equal(
    last.here.bytes,
    contentsOf(store).reduce((sum, line) => sum + Number(line.split(" ")[1]), 0),
  );
  // What had come whole by then was not sent again; of the file that was being written nobody can say.
  assert.ok(last.came.files <= contentsOf(store).length - came.length + 1, JSON.stringify(last));
});

test("the files are private, and belong to whom pull would give them", () => {
  for (const path of filesBelow(place.mediaDir)) {
    const { mode, uid } = statSync(path);
    assert.deepEqual([mode & 0o777, uid], [0o640, process.getuid?.()]);
  }
  assert.equal(statSync(place.mediaDir).mode & 0o777, 0o700);
});

test("what is new comes with a later pass, and a connection that is cut in one is made again", async () => {
  const running = startFollow(place, "--media-every", "1s");
  await untilFollows(place, await two.position(), running);
  const first = await upload(50_000);
  settle(first.name);
  await untilMedia("the new file is here", () => existsSync(join(place.mediaDir, first.name)));
  two.to.way.cut();
  await untilMedia("the failure is told", (media) => media?.failed?.code === "connection-failed");
  const second = await upload(50_000);
  settle(second.name);
  two.to.way.mend();
  await untilMedia("both go on", () => existsSync(join(place.mediaDir, second.name)));
  await untilFollows(place, await two.position(), running);
  assert.equal(running.hasEnded(), false);
  await untilMedia("the failure is over", (media) => media?.failed === null);
  const ran = await running.interrupt();
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stderr, /media could not be copied: .*the database follows on/);
  assert.deepEqual(contentsOf(place.mediaDir), contentsOf(store));
});

test("another place than before is refused, and so is a pull that would have the media elsewhere", async () => {
  const elsewhere = join(place.folder, "elsewhere");
  const at = place.follow.indexOf("--media-dir");
  const moved = await synlift([...place.follow.with(at + 1, elsewhere), "--until-caught-up"]);
  assert.equal(moved.code, EXIT_CODES["bundle-mismatch"], moved.stderr);
  const pulled = await synlift([...place.cutOver, "--media-dir", elsewhere, "--dry-run"]);
  assert.equal(pulled.code, EXIT_CODES["bad-usage"], pulled.stderr);
  assert.match(pulled.stderr, /has copied the media to/);
  assert.equal(existsSync(elsewhere), false);
});

let late: Awaited<ReturnType<typeof upload>>;

test("the cut-over brings what came after the last pass, and writes nothing else", async () => {
  const before = new Map(filesBelow(place.mediaDir).map((path) => [path, statSync(path).ino]));
  late = await upload(70_000);
  // As one that Synapse has made anew since.
  const thumbnail = filesBelow(join(store, "local_thumbnails"))[0]!;
  writeFileSync(thumbnail, "made anew");
  utimesSync(thumbnail, LONG_AGO + 5, LONG_AGO + 5);
  const ran = await synliftWell(place.cutOver);
  assert.deepEqual(contentsOf(place.mediaDir), contentsOf(store));
  const again = [...before].filter(([path, ino]) => statSync(path).ino !== ino).map(([path]) => path);
  assert.deepEqual(again, [join(place.mediaDir, relative(store, thumbnail))]);
  assert.ok(eventsOf(ran).length > 0);
});

test("the new server has it all, and its media stay when what is left of follow is taken away", async () => {
  await synliftWell(place.open);
  const bob = two.server.old.people.bob.at(place.url);
  const { bytes } = await bob.download(late.mxc);
  assert.equal(createHash("sha256").update(bytes).digest("hex"), late.sha256);
  const stopped = resultOf(await synliftWell(place.stop));
  assert.equal(stopped.details["kind"], "kept");
  assert.ok(contentsOf(place.mediaDir).length > 0);
  assert.deepEqual(
    readdirSync(join(place.configDir, ".synlift")).filter((name) => name.startsWith("follow-media")),
    [],
  );
});
