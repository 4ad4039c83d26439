import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { parse } from "yaml";
import { item, packed, uploadNamed } from "../homeserver/media/archive/uploads.ts";
import { readWithOldDevice } from "../support/lab/encrypted-conversation.ts";
import { MatrixRefusal } from "../support/lab/matrix-client.ts";
import { freePort } from "../support/lab/server-process.ts";
import { synapsePython } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { exportTo } from "../support/old-server.ts";
import {
  change,
  makeOldSqlite,
  makeSqlitePlace,
  type OldSqlite,
  rowsIn,
  SMALL,
  type SqlitePlace,
} from "../support/old-sqlite.ts";
import { filesBelow } from "../support/secrets.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// One move of a real homeserver whose database is a file. The tests are its steps, in order.

const ARTIFACT = "homeserver.db.tar.gz.gpg";

let old: OldSqlite;
let work: string;
let bundle: string;
let passphraseFile: string;
let rowsBefore: ReadonlyMap<string, number>;
let place: SqlitePlace;

before(async () => {
  old = await makeOldSqlite();
  work = temporaryFolder("sqlite-move");
  bundle = join(work, "bundle");
  passphraseFile = `${bundle}.passphrase`;
});

after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
  await old.server.stop();
});

test("a server that still runs is not exported for good, and its open file is one of the reasons", async () => {
  const ran = await synlift(exportTo(old, bundle));
  assert.equal(ran.code, 14, ran.stderr);
  assert.match(ran.stderr, new RegExp(`still has the homeserver's database open: ${old.path}`));
  assert.equal(existsSync(bundle), false);
});

test("it can be rehearsed while people write, and the guide's commands open what comes of it", async () => {
  const out = join(work, "rehearsal");
  const room = await old.people.alice.createRoom({});
  const people = { writing: true };
  const written = (async () => {
    for (let count = 0; ; count++) {
      await old.people.alice.send(room, `while it is packed, ${count}`);
      if (!people.writing) return;
    }
  })();
  const ran = await synliftWell([...exportTo(old, out), "--rehearse"]);
  people.writing = false;
  await written;
  assert.ok(resultOf(ran).findings.some(({ id }) => id === "source-up"));
  const opened = openByHand(out, `${out}.passphrase`, ARTIFACT);
  mustBeWhole(opened);
  assert.ok(rowsIn(opened).get("events")! > 0);
  assert.equal(old.server.isRunning, true);
  assert.equal(existsSync(`${out}.database-copy`), false, "nothing is left in the clear");
});

test("a copy in the clear that a killed rehearsal left is removed by the next run", async () => {
  const out = join(work, "rehearsal");
  mkdirSync(`${out}.database-copy`, { mode: 0o700 });
  for (const suffix of ["", "-journal"]) writeFileSync(`${out}.database-copy/homeserver.db${suffix}`, "left");
  await synliftWell([...exportTo(old, out), "--rehearse"]);
  assert.equal(existsSync(`${out}.database-copy`), false);
});

test("a server that was killed and left changes in its -wal is packed with them, and no secret is shown", async () => {
  await old.server.kill();
  assert.ok(statSync(`${old.path}-wal`).size > 0, "there are changes beside the file");
  // What a server would read: the file together with its -wal.
  const copy = join(work, "copy.db");
  for (const suffix of ["", "-wal"]) copyFileSync(`${old.path}${suffix}`, `${copy}${suffix}`);
  rowsBefore = rowsIn(copy);
  const ran = await synliftWell(exportTo(old, bundle));
  assert.equal(existsSync(`${old.path}-wal`), false, "SQLite has merged them into the file");
  assert.deepEqual(rowsIn(old.path), rowsBefore);
  assert.equal(existsSync(`${bundle}.database-copy`), false);
  assert.equal(statSync(old.path).mode & 0o222, 0, "and cannot be written to");
  const passphrase = readFileSync(passphraseFile, "utf8").trim();
  const secrets = [passphrase, old.people.alice.session.accessToken, "SQLite format 3"];
  for (const secret of secrets) {
    assert.ok(!ran.stdout.includes(secret) && !ran.stderr.includes(secret));
    for (const path of filesBelow(bundle)) assert.ok(!readFileSync(path).includes(secret), path);
  }
});

test("the guide's own commands open it: one file, whole by itself, with every row", () => {
  execFileSync("sha256sum", ["-c", "--quiet", "SHA256SUMS"], { cwd: bundle });
  const opened = openByHand(bundle, passphraseFile, ARTIFACT);
  mustBeWhole(opened);
  assert.deepEqual([...readFileSync(opened).subarray(18, 20)], [1, 1], "it needs no -wal");
  assert.deepEqual(rowsIn(opened), rowsBefore);
  const text = readFileSync(join(bundle, "OPENING.txt"), "utf8");
  assert.doesNotMatch(text, /psql|createdb|TRUNCATE/);
  for (const statement of text.match(/DELETE FROM .*;/g)!) sql(opened, statement);
  const after = rowsIn(opened);
  assert.equal(rowsBefore.get("e2e_one_time_keys_json")! > 0, true);
  assert.equal(after.get("e2e_one_time_keys_json"), 0);
  assert.equal(after.get("remote_media_cache"), 1, "what was quarantined stays so");
});

test("running it again does nothing again, until the file changes", async () => {
  const before = statSync(join(bundle, ARTIFACT)).ino;
  await synliftWell(exportTo(old, bundle));
  assert.equal(statSync(join(bundle, ARTIFACT)).ino, before);
  const status = resultOf(await synliftWell(["status", "--out", bundle, "--json"]));
  assert.deepEqual(
    status.findings.filter(({ level }) => level !== "ok").map(({ id }) => id),
    [],
  );
});

test("it opens in parts too, and a run that was killed goes on", async () => {
  const out = join(work, "parts");
  const given = [...exportTo(old, out), "--split", "100k"];
  const killed = await synlift(given, { killWhen: (said) => said.includes(`"write/${ARTIFACT}"`) });
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  assert.equal(existsSync(join(out, "manifest.json")), false);
  await synliftWell(given);
  const parts = readdirSync(out).filter((name) => name.startsWith(`${ARTIFACT}.part-`));
  assert.ok(parts.length > 1, parts.join());
  assert.deepEqual(rowsIn(openByHand(out, `${out}.passphrase`, `${ARTIFACT}.part-*`)), rowsBefore);
  const checked = resultOf(
    await synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`, "--json"]),
  );
  assert.ok(checked.findings.every(({ level }) => level === "ok"));
});

const restore = (to: SqlitePlace) => [
  ...["restore", bundle, "--passphrase-file", passphraseFile, ...to.restoreArgs, "--json"],
];
const open = (to: SqlitePlace, ...more: string[]) => [
  ...["open", "--config-dir", to.configDir, "--passphrase-file", passphraseFile, ...more, "--json"],
];

test("it is restored to SQLite only, and overwrites nothing", async () => {
  const to = makeSqlitePlace(await freePort());
  const elsewhere = restore(to).map((arg) => (arg.startsWith("sqlite:") ? "host=127.0.0.1 dbname=new" : arg));
  const ported = await synlift(elsewhere);
  assert.equal(ported.code, 41, ported.stderr);
  assert.match(ported.stderr, /port it to PostgreSQL on the way: --port/);
  const folder = join(work, "composed");
  const composed = await synlift([
    "restore",
    bundle,
    "--passphrase-file",
    passphraseFile,
    "--layout",
    "compose",
    "--folder",
    folder,
  ]);
  assert.equal(composed.code, 41, composed.stderr);
  assert.match(composed.stderr.replaceAll(/\s+/g, " "), /--layout compose has a PostgreSQL database/);
  assert.equal(existsSync(folder), false);
  mkdirSync(dirname(to.path), { recursive: true });
  for (const suffix of ["", "-wal", ".restoring"]) {
    writeFileSync(`${to.path}${suffix}`, "mine");
    const refused = await synlift(restore(to));
    assert.equal(refused.code, 40, refused.stderr);
    assert.ok(refused.stderr.includes(`${to.path}${suffix} already exists`), refused.stderr);
    assert.equal(readFileSync(`${to.path}${suffix}`, "utf8"), "mine");
    rmSync(`${to.path}${suffix}`);
  }
  assert.deepEqual(readdirSync(dirname(to.path)), []);
});

test("a restore that was killed has made no database, and goes on when it is run again", async () => {
  for (const event of [`"begin".*"restore/database"`, `"end".*"restore/database"`]) {
    const to = makeSqlitePlace(await freePort());
    const killed = await synlift(restore(to), { killWhen: (said) => new RegExp(event).test(said) });
    assert.equal(killed.signal, "SIGKILL", killed.stderr);
    assert.equal((await synlift(open(to))).code, 23, "an unfinished restore is not opened");
    await synliftWell(restore(to));
    assert.deepEqual(rowsIn(to.path), rowsExpected());
    assert.deepEqual(
      filesBelow(dirname(to.path)).filter((path) => /restoring|unfinished|-wal|-journal/.test(path)),
      [],
    );
    const proven = resultOf(await synliftWell(open(to, "--dry-run")));
    assert.deepEqual(
      proven.findings.filter(({ level }) => level === "blocker" || level === "warning"),
      [],
    );
  }
});

test("a database that was restored by a run that could not record it is recognised; a missing one is restored again", async () => {
  const to = makeSqlitePlace(await freePort());
  await synliftWell(restore(to));
  const journal = join(to.configDir, ".synlift", "journal.json");
  const content = JSON.parse(readFileSync(journal, "utf8")) as { steps: object };
  writeFileSync(journal, JSON.stringify({ ...content, steps: {} }));
  const before = statSync(to.path).ino;
  await synliftWell(restore(to));
  assert.equal(statSync(to.path).ino, before);
  rmSync(to.path);
  const again = await synliftWell(restore(to));
  assert.match(again.stderr, /the database was removed/);
  assert.deepEqual(rowsIn(to.path), rowsExpected());
});

test("uploads of an archive that matrix-media-repo made are added to it, once, with their rows", async () => {
  const to = makeSqlitePlace(await freePort());
  const other = join(work, "from-media-repo");
  mkdirSync(other);
  const upload = uploadNamed("KeptElsewhere", { userId: "@bob:old.example", name: "kept 'elsewhere'.txt" });
  const [archive] = await packed([item(upload, "kept elsewhere")], {}, "old.example");
  execFileSync("tar", ["-xf", "-", "--strip-components=1", "-C", other], { input: archive!.bytes });
  const given = [...restore(to), "--media-archive", other];
  const killed = await synlift(given, { killWhen: (said) => /"end".*"restore\/media"/.test(said) });
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  for (const _ of [1, 2]) {
    await synliftWell(given);
    const uploads = rowsExpected().get("local_media_repository")! + 1;
    assert.deepEqual(
      rowsIn(to.path),
      new Map([...rowsExpected(), ["local_media_repository", uploads] as const]),
    );
  }
  assert.equal(
    sql(
      to.path,
      "SELECT user_id, upload_name, media_length, safe_from_quarantine FROM local_media_repository WHERE media_id = 'KeptElsewhere'",
    ),
    `[('@bob:old.example', "kept 'elsewhere'.txt", 14, 0)]`,
  );
  const proven = resultOf(await synliftWell(open(to, "--dry-run")));
  assert.deepEqual(
    proven.findings.filter(({ level }) => level === "blocker"),
    [],
  );
});

test("restore makes a file of the owner's alone, and the settings name it", async () => {
  place = makeSqlitePlace(await freePort());
  await synliftWell(restore(place));
  assert.equal(statSync(place.path).mode & 0o777, 0o600);
  mustBeWhole(place.path);
  assert.deepEqual(rowsIn(place.path), rowsExpected());
  const settings = parse(readFileSync(join(place.configDir, "homeserver.yaml.fenced"), "utf8")) as {
    database: unknown;
  };
  assert.deepEqual(settings.database, { name: "sqlite3", args: { database: place.path } });
});

test("open refuses a database that others may read, and one that is not what was packed", async () => {
  chmodSync(place.path, 0o644);
  change(place.path, "INSERT INTO users (name) VALUES ('@mallory:old.example')");
  change(
    place.path,
    "INSERT INTO e2e_one_time_keys_json SELECT user_id, device_id, 'signed_curve25519', 'x', 1, '{}' FROM devices LIMIT 1",
  );
  const ran = await synlift(open(place));
  assert.equal(ran.code, 43, ran.stderr);
  const blockers = resultOf(ran).findings.filter(({ level }) => level === "blocker");
  assert.deepEqual(blockers.map(({ id }) => id).sort(), ["database-file", "one-time-keys", "row-counts"]);
  chmodSync(place.path, 0o600);
  change(place.path, "DELETE FROM users WHERE name LIKE '@mallory:%'; DELETE FROM e2e_one_time_keys_json");
});

test("open proves it and starts it: old sessions go on, old messages and old media are there", async () => {
  const tokenFile = join(work, "token");
  writeFileSync(tokenFile, old.people.alice.session.accessToken, { mode: 0o600 });
  const { details } = resultOf(
    await synliftWell(
      open(
        place,
        ...["--token-file", tokenFile],
        ...["--start-command", place.startCommand, "--stop-command", place.stopCommand],
      ),
    ),
  );
  assert.equal(details["opened"], true);
  const bob = old.people.bob.at(place.url);
  for (const room of Object.values(old.people.rooms)) {
    const texts = await bob.messages(room.id);
    assert.deepEqual(texts, room.messages);
  }
  for (const { mxc, sha256, name } of old.people.media) {
    const { bytes } = await bob.download(mxc);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
  }
  const { bytes: thumbnail } = await bob.thumbnail(old.people.avatar, SMALL);
  assert.deepEqual(thumbnail, old.thumbnail);
  assert.ok(filesBelow(join(place.mediaDir, "local_thumbnails")).length > 0, "they are in the bundle");
  await assert.rejects(
    bob.download(old.quarantined),
    (error) => error instanceof MatrixRefusal && error.status === 404,
  );
  const { roomId, texts } = old.people.encrypted;
  for (const { session } of [old.people.alice, old.people.bob])
    assert.deepEqual(await readWithOldDevice(place.url, session, roomId), texts);
});

test("cleanup removes nothing before the new server was opened long enough ago, and then what is left of the move", async () => {
  const cleanup = ["cleanup", "--out", bundle, "--yes", "--json"];
  const unknown = await synlift(cleanup);
  assert.equal(unknown.code, 61, unknown.stderr);
  const early = await synlift([...cleanup, "--config-dir", place.configDir]);
  assert.equal(early.code, 61, early.stderr);
  assert.deepEqual(
    resultOf(early)
      .findings.filter(({ level }) => level === "blocker")
      .map(({ id }) => id),
    ["waiting"],
  );
  assert.ok(existsSync(join(bundle, ARTIFACT)) && existsSync(passphraseFile));
  const database = readFileSync(old.path);
  const gone = await synliftWell([...cleanup, "--config-dir", place.configDir, "--after", "0"]);
  assert.equal(resultOf(gone).details["removed"], true);
  assert.deepEqual(readdirSync(bundle), ["report.html"]);
  assert.equal(existsSync(passphraseFile), false);
  assert.ok(readFileSync(old.path).equals(database), "the old database stays");
  assert.equal((await fetch(`${place.url}/_matrix/client/versions`)).status, 200, "the new server serves");
});

/** The rows of a restored database: those without a file, and those that must not be restored, are gone. */
function rowsExpected(): ReadonlyMap<string, number> {
  const gone = { e2e_one_time_keys_json: 0, remote_media_cache: 1, local_media_repository_url_cache: 0 };
  return new Map([...rowsBefore, ...Object.entries(gone)]);
}

let hands = 0;

/** As the guide has it: cat, gpg, tar. Returns the database's path. */
function openByHand(folder: string, key: string, pattern: string): string {
  const hand = join(work, `hand-${++hands}`);
  mkdirSync(join(hand, "gnupg"), { recursive: true, mode: 0o700 });
  const command = `set -euo pipefail; cat ${folder}/${pattern} | gpg --batch --passphrase-file ${key} -d | tar -xzf - -C ${hand}`;
  execFileSync("bash", ["-c", command], {
    env: { ...process.env, GNUPGHOME: join(hand, "gnupg") },
    stdio: ["ignore", "ignore", "ignore"],
  });
  assert.deepEqual(
    readdirSync(hand).filter((name) => name !== "gnupg"),
    ["homeserver.db"],
  );
  return join(hand, "homeserver.db");
}

/** With the SQLite that Synapse's Python has. */
function sql(path: string, statement: string): string {
  const script =
    "import sqlite3,sys; db=sqlite3.connect(sys.argv[1]); print(db.execute(sys.argv[2]).fetchall()); db.commit()";
  return execFileSync(synapsePython(), ["-c", script, path, statement], { encoding: "utf8" }).trim();
}

const mustBeWhole = (path: string) => {
  assert.equal(sql(path, "PRAGMA integrity_check"), "[('ok',)]");
};
