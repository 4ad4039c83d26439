import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { readWithOldDevice } from "../support/lab/encrypted-conversation.ts";
import { logIn } from "../support/lab/matrix-client.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  DATABASE_PASSWORD,
  exportTo,
  makeNewPlace,
  makeOldServer,
  type NewPlace,
  type OldServer,
} from "../support/old-server.ts";
import { rowCounts } from "../support/row-counts.ts";
import { scenario } from "../support/scenario.ts";
import { filesBelow, watchProcesses } from "../support/secrets.ts";
import { eventsOf, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// One move of a real homeserver, as its administrator makes it. The tests are its steps, in order.

const { step, check } = scenario();

let old: OldServer;
let place: NewPlace;
let work: string;
let bundle: string;
let passphraseFile: string;
let publishedBefore: unknown;
let rowsBefore: ReadonlyMap<string, number>;

before(async () => {
  old = await makeOldServer();
  place = await makeNewPlace(old.cluster, "new", await freePort());
  work = temporaryFolder("move");
  bundle = join(work, "bundle");
  passphraseFile = `${bundle}.passphrase`;
  publishedBefore = await keysOf(old.server.baseUrl);
});

after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
  await old.server.stop();
  await old.cluster.stop();
});

step("a server that still runs is not exported for good, and nothing is left behind", async () => {
  const ran = await synlift(exportTo(old, bundle));
  assert.equal(ran.code, 14, ran.stderr);
  assert.match(ran.stderr, /the homeserver is still running/);
  assert.match(ran.stderr, /--rehearse/);
  assert.equal(existsSync(bundle), false);
  assert.equal(existsSync(passphraseFile), false);
});

step("a stopped server is packed, and no secret is shown meanwhile", async () => {
  await old.server.stop();
  await old.cluster.sql(
    "old",
    "insert into stream_positions values ('to_device', 'a worker that is gone', 99)",
  );
  await assert.rejects(old.server.start(), /'device_inbox_sequence' is inconsistent/);
  rowsBefore = await rowCounts(old.cluster, "old");
  const seen = watchProcesses();
  const ran = await synliftWell(exportTo(old, bundle));
  const commandLines = seen.stop();
  assert.ok(
    commandLines.some((line) => line.includes("pg_dump")),
    "the watch saw the programs that ran",
  );

  const passphrase = readFileSync(passphraseFile, "utf8").trim();
  assert.match(passphrase, /^[A-Za-z0-9]{64}$/);
  const secrets = secretsOfOld(passphrase);
  for (const [name, secret] of secrets) {
    assert.equal(
      commandLines.find((line) => line.includes(secret)),
      undefined,
      `${name} is in a command line`,
    );
    assert.ok(!ran.stdout.includes(secret) && !ran.stderr.includes(secret), `${name} was printed`);
    for (const path of filesBelow(bundle))
      assert.ok(!readFileSync(path).includes(secret), `${name} is in ${path}`);
  }
  assert.equal(statSync(bundle).mode & 0o777, 0o700);
  for (const path of [...filesBelow(bundle), passphraseFile])
    assert.equal(statSync(path).mode & 0o777, 0o600, path);
});

check("running it again does nothing again, and says so", async () => {
  const before = statSync(join(bundle, "customer_db_export.sql.gz.gpg"));
  const ran = await synliftWell(exportTo(old, bundle));
  // It looks at the source, which may have changed.
  assert.deepEqual(
    eventsOf(ran).flatMap(({ type, id }) => (type === "begin" ? [id] : [])),
    ["plan/foreign-keys"],
  );
  assert.equal(statSync(join(bundle, "customer_db_export.sql.gz.gpg")).ino, before.ino);
});

check("status and verify find it complete", async () => {
  const status = resultOf(await synliftWell(["status", "--out", bundle, "--json"]));
  assert.equal(status.details["sealed"], true);
  const verify = resultOf(
    await synliftWell(["verify", bundle, "--passphrase-file", passphraseFile, "--json"]),
  );
  assert.ok(verify.findings.every(({ level }) => level === "ok"));
  assert.equal(verify.findings.filter(({ id }) => id === "contents").length, 3);
});

check("the guide's own commands open the bundle, without synlift", async () => {
  const hand = temporaryFolder("hand");
  sh("sha256sum -c --quiet SHA256SUMS", bundle);
  const decrypt = `gpg --batch --passphrase-file ${passphraseFile} -d`;

  await old.cluster.createDatabase("hand", { owner: "new" });
  const { host, port } = old.cluster.address;
  const login = `-h ${host} -p ${port} -U new -d hand`;
  sh(
    `cat customer_db_export.sql.gz.gpg | ${decrypt} | gunzip | psql -X -q -v ON_ERROR_STOP=1 ${login} > ${hand}/psql.out`,
    bundle,
    {
      PGPASSWORD: place.password,
    },
  );
  const restored = await rowCounts(old.cluster, "hand");
  const expected = new Map(rowsBefore);
  assert.ok(expected.get("public.e2e_one_time_keys_json")! > 0, "there were one-time keys to leave out");
  expected.set("public.e2e_one_time_keys_json", 0);
  assert.deepEqual(restored, expected);

  sh(`${decrypt} customer_config_export.tar.gz.gpg | tar -xzf - -C ${hand}`, bundle);
  for (const name of ["homeserver.yaml", "old.example.signing.key", "conf.d/limits.yaml"]) {
    assert.ok(existsSync(join(hand, name)), `${name} is in the configuration archive under its own name`);
  }
  assert.deepEqual(
    readFileSync(join(hand, "old.example.signing.key")),
    readFileSync(old.home.signingKeyPath),
  );

  sh(
    `mkdir media && ${decrypt} ${bundle}/customer_backup_media_export.tar.gz.gpg | tar -xzf - -C media`,
    hand,
  );
  sh(`diff -r media/local_content ${old.home.mediaStorePath}/local_content`, hand);
  sh(`diff -r media/local_thumbnails ${old.home.mediaStorePath}/local_thumbnails`, hand);
});

step("restore fills an empty place, and leaves the server unable to start", async () => {
  const seen = watchProcesses();
  const ran = await synliftWell([
    "restore",
    bundle,
    "--passphrase-file",
    passphraseFile,
    ...place.restoreArgs,
    "--json",
  ]);
  const commandLines = seen.stop();
  for (const secret of [place.password, DATABASE_PASSWORD, readFileSync(passphraseFile, "utf8").trim()]) {
    assert.equal(
      commandLines.find((line) => line.includes(secret)),
      undefined,
    );
    assert.ok(!ran.stdout.includes(secret) && !ran.stderr.includes(secret));
  }
  assert.equal(existsSync(join(place.configDir, "homeserver.yaml")), false, "the fence is set");
  const key = statSync(join(place.configDir, "old.example.signing.key"));
  assert.equal(key.mode & 0o777, 0o600);
  assert.equal(await old.cluster.sql(place.database, "select count(*) from e2e_one_time_keys_json"), "0");
});

step("open refuses when the new server is not the old one, and names why", async () => {
  const someFile = filesBelow(join(place.mediaDir, "local_content"))[0]!;
  const content = readFileSync(someFile);
  writeFileSync(someFile, Buffer.concat([content, Buffer.from("x")]));
  await old.cluster.sql(
    place.database,
    "insert into e2e_one_time_keys_json select user_id, device_id, 'signed_curve25519', 'x', 1, '{}' from devices limit 1",
  );
  const ran = await synlift(["open", ...place.openArgs, "--passphrase-file", passphraseFile, "--json"]);
  assert.equal(ran.code, 43, ran.stderr);
  const blockers = resultOf(ran).findings.filter(({ level }) => level === "blocker");
  assert.deepEqual(blockers.map(({ id }) => id).sort(), ["media", "one-time-keys", "row-counts"]);
  assert.equal(existsSync(join(place.configDir, "homeserver.yaml")), false, "the fence stays");

  writeFileSync(someFile, content);
  await old.cluster.sql(place.database, "truncate e2e_one_time_keys_json");
  const accepted = await synlift([
    "open",
    ...place.openArgs,
    "--passphrase-file",
    passphraseFile,
    "--accept",
    "row-counts",
  ]);
  assert.equal(accepted.code, 2, "row counts cannot be accepted away");
});

check("cleanup removes nothing before the new server was opened", async () => {
  const cleaning = ["cleanup", "--out", bundle, "--config-dir", place.configDir, "--after", "0", "--json"];
  const ran = await synlift([...cleaning, "--yes"]);
  assert.equal(ran.code, 61, ran.stderr);
  assert.ok(resultOf(ran).findings.some(({ id, level }) => id === "not-opened" && level === "blocker"));
  assert.ok(existsSync(passphraseFile) && existsSync(join(bundle, "manifest.json")));
});

step("open proves it, starts it, and it is the old server with its old sessions", async () => {
  const tokenFile = join(work, "token");
  writeFileSync(tokenFile, old.people.alice.session.accessToken, { mode: 0o600 });
  const ran = await synliftWell([
    ...["open", ...place.openArgs, "--passphrase-file", passphraseFile, "--token-file", tokenFile],
    ...["--start-command", place.startCommand, "--stop-command", place.stopCommand, "--json"],
  ]);
  const { details, findings } = resultOf(ran);
  assert.equal(details["opened"], true);
  assert.ok((details["outageSeconds"] as number) > 0);
  assert.ok(findings.every(({ level }) => level === "ok"));
  assert.ok(existsSync(details["report"] as string));

  assert.deepEqual(await keysOf(place.url), publishedBefore);
  const version = (await (await fetch(`${place.url}/_matrix/federation/v1/version`)).json()) as {
    server: { name: string };
  };
  assert.equal(version.server.name, "Synapse");
});

check("old tokens read old messages, and old media comes bit for bit", async () => {
  const bob = old.people.bob.at(place.url);
  for (const room of Object.values(old.people.rooms))
    assert.deepEqual(await bob.messages(room.id), room.messages);
  for (const { mxc, sha256, name } of old.people.media) {
    const { bytes } = await bob.download(mxc);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
  }
  assert.equal((await bob.thumbnail(old.people.avatar, { width: 96, height: 96 })).type, "image/png");
});

check("the old devices still read the encrypted conversation, and old passwords still log in", async () => {
  const { roomId, texts } = old.people.encrypted;
  for (const { session } of [old.people.alice, old.people.bob]) {
    assert.deepEqual(await readWithOldDevice(place.url, session, roomId), texts);
  }
  await logIn(place.url, { name: "carol", password: old.people.passwords["carol"]! });
});

check("what was opened is neither opened again nor restored over", async () => {
  const again = await synlift(["open", ...place.openArgs, "--passphrase-file", passphraseFile]);
  assert.equal(again.code, 45, again.stderr);
  const over = await synlift(["restore", bundle, "--passphrase-file", passphraseFile, ...place.restoreArgs]);
  assert.equal(over.code, 45, over.stderr);
});

step("cleanup lists what is left, waits, and then takes it away; the server goes on", async () => {
  const cleaning = ["cleanup", "--out", bundle, "--config-dir", place.configDir, "--json"];
  const { details } = resultOf(await synliftWell([...cleaning, "--after", "0"]));
  const listed = (details["files"] as { path: string }[]).map(({ path }) => path);
  assert.ok(listed.includes(passphraseFile) && listed.includes(join(bundle, "manifest.json")));
  assert.ok(existsSync(passphraseFile), "a list removes nothing");
  const early = await synlift([...cleaning, "--yes"]);
  assert.equal(early.code, 61, early.stderr);
  assert.ok(existsSync(passphraseFile));
  await synliftWell([...cleaning, "--yes", "--after", "0"]);
  assert.deepEqual(
    listed.filter((path) => existsSync(path)),
    [],
  );
  assert.deepEqual(await keysOf(place.url), publishedBefore);
  assert.ok(existsSync(old.home.signingKeyPath), "the old server's files are nobody's to remove");
});

/** What must not be seen anywhere: what opens the bundle, and what is inside it. */
function secretsOfOld(passphrase: string): [string, string][] {
  const config = readFileSync(old.home.configFile, "utf8");
  const value = (key: string) => new RegExp(`${key}: "?([^"\\n]+)`).exec(config)![1]!;
  return [
    ["the passphrase", passphrase],
    ["the database password", DATABASE_PASSWORD],
    ["the signing key", readFileSync(old.home.signingKeyPath, "utf8").trim().split(" ")[2]!],
    ["the pepper", value("pepper")],
    ["the macaroon secret", value("macaroon_secret_key")],
    ["an access token", old.people.alice.session.accessToken],
  ];
}

async function keysOf(baseUrl: string): Promise<unknown> {
  const answer = (await (await fetch(`${baseUrl}/_matrix/key/v2/server`)).json()) as {
    verify_keys: unknown;
    server_name: string;
  };
  return [answer.server_name, answer.verify_keys];
}

function sh(command: string, folder: string, env: Record<string, string> = {}): void {
  // A home of its own for gpg, as on any machine where it was never used.
  const home = join(work, "gnupg");
  if (!existsSync(home)) mkdirSync(home);
  chmodSync(home, 0o700);
  execFileSync("bash", ["-c", `set -euo pipefail; umask 077; ${command}`], {
    cwd: folder,
    env: { ...process.env, GNUPGHOME: home, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
}
