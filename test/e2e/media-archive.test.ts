import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { item, packed, uploadNamed } from "../homeserver/media/archive/uploads.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  exportTo,
  makeNewPlace,
  makeOldServer,
  type NewPlace,
  type OldServer,
} from "../support/old-server.ts";
import { filesBelow } from "../support/secrets.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A move whose media goes as archives for matrix-media-repo alone, beside one that has both.

let old: OldServer;
let place: NewPlace;
let work: string;
let bundle: string;
let both: string;
let hidden: string;

before(async () => {
  old = await makeOldServer();
  work = temporaryFolder("archived");
  [bundle, both] = [join(work, "bundle"), join(work, "both")];
  place = await makeNewPlace(old.cluster, "new", await freePort());
  await old.server.stop();
  hidden = old.people.media.find(({ mxc }) => mxc !== old.people.avatar)!.mxc;
  await old.cluster.sql(
    "old",
    `update local_media_repository set quarantined_by = '@admin:old.example' where media_id = '${idOf(hidden)}'`,
  );
});

after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
  await old.cluster.stop();
});

const idOf = (mxc: string) => mxc.split("/").at(-1)!;
const key = (folder: string) => ["--passphrase-file", `${folder}.passphrase`];
const namesOf = (folder: string) =>
  readdirSync(folder).filter((name) => name.startsWith("customer_") && name.endsWith(".gpg"));

test("media goes as archives alone, in as many as their size asks for", async () => {
  const largest = Math.max(...old.people.media.map(({ size }) => size));
  const made = await synliftWell([
    ...exportTo(old, bundle),
    ...["--media", "archive", "--archive-size", String(largest + 1)],
  ]);
  const call = `POST /_matrix/media/unstable/admin/quarantine/old.example/${idOf(hidden)}`;
  const told = resultOf(made).findings.find(({ id }) => id === "media-quarantined");
  assert.deepEqual(told?.evidence, [call]);
  assert.ok(readFileSync(join(bundle, "report.html"), "utf8").includes(call), "the report names it");
  const names = namesOf(bundle);
  assert.ok(names.includes("customer_media_export.tar.gz.gpg"), names.join());
  assert.ok(names.includes("customer_media_export-2.tar.gz.gpg"), names.join());
  assert.ok(!names.some((name) => name.includes("backup")), names.join());
  const findings = resultOf(await synliftWell(["verify", bundle, ...key(bundle), "--json"])).findings;
  assert.ok(
    findings.every(({ level }) => level === "ok"),
    JSON.stringify(findings),
  );
});

test("a server restored from the archives serves each file bit for bit, and what was quarantined stays so", async () => {
  const other = join(work, "from-media-repo");
  mkdirSync(other);
  const upload = uploadNamed("KeptByMatrixMediaRepo", {
    userId: "@bob:old.example",
    name: "kept elsewhere.txt",
  });
  const [archive] = await packed([item(upload, "kept elsewhere")], {}, "old.example");
  execFileSync("tar", ["-xf", "-", "--strip-components=1", "-C", other], { input: archive!.bytes });
  const ran = await synliftWell([
    ...["restore", bundle, ...key(bundle), ...place.restoreArgs, "--media-archive", other, "--json"],
  ]);
  assert.ok(resultOf(ran).findings.some(({ id, level }) => id === "media-archive" && level === "ok"));
  assert.ok(resultOf(ran).findings.some(({ id, level }) => id === "media-authenticated" && level === "note"));
  assert.ok(filesBelow(join(place.mediaDir, "local_content")).length >= old.people.media.length);
  assert.equal(existsSync(join(place.mediaDir, "local_thumbnails")), false);
  await synliftWell([
    ...["open", ...place.openArgs, ...key(bundle)],
    ...["--start-command", place.startCommand, "--stop-command", place.stopCommand],
  ]);
  const bob = old.people.bob.at(place.url);
  for (const { mxc, sha256, name } of old.people.media) {
    if (mxc === hidden) continue;
    const { bytes } = await bob.download(mxc);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
  }
  await assert.rejects(bob.download(hidden), /404/);
  const kept = await bob.download("mxc://old.example/KeptByMatrixMediaRepo");
  assert.equal(Buffer.from(kept.bytes).toString(), "kept elsewhere");
  assert.equal(
    await old.cluster.sql(
      "new",
      "select created_ts, user_id, upload_name, media_length, authenticated, sha256 from local_media_repository where media_id = 'KeptByMatrixMediaRepo'",
    ),
    [
      "1690000000123",
      "@bob:old.example",
      "kept elsewhere.txt",
      "14",
      "t",
      createHash("sha256").update("kept elsewhere").digest("hex"),
    ].join("\t"),
  );
  // Made again, as no archive has thumbnails.
  assert.equal((await bob.thumbnail(old.people.avatar, { width: 96, height: 96 })).type, "image/png");
});

test("as folders for matrix-media-repo's importer, which knows no quarantine: the calls that set it again are named", async () => {
  const folders = await makeNewPlace(old.cluster, "folders", await freePort());
  const ran = await synliftWell([
    ...["restore", bundle, ...key(bundle), ...folders.restoreArgs, "--media-as", "archive", "--json"],
  ]);
  const told = resultOf(ran).findings.find(({ id }) => id === "media-quarantined");
  assert.deepEqual(told?.evidence, [
    `POST /_matrix/media/unstable/admin/quarantine/old.example/${idOf(hidden)}`,
  ]);
  const list = join(folders.mediaDir, "quarantined-uploads.txt");
  assert.ok(told.hint?.includes(list));
  assert.equal(readFileSync(list, "utf8"), `${idOf(hidden)}\n`);
  assert.ok(existsSync(join(folders.mediaDir, "customer_media_export", "export-manifest.tgz")));
});

test("both can go, and then plain tar, gunzip and sha256sum find the same files in both", async () => {
  await synliftWell([...exportTo(old, both), "--media", "archive,backup"]);
  const hand = join(work, "hand");
  const gpg = temporaryFolder("gpg");
  const open = (name: string) =>
    execFileSync(
      "bash",
      [
        "-euo",
        "pipefail",
        "-c",
        `mkdir -p ${hand} && chmod 700 ${gpg} && cd ${hand} && gpg --homedir ${gpg} --batch --quiet --pinentry-mode loopback --passphrase-file ${both}.passphrase -d ${both}/${name} | tar -xzf -`,
      ],
      { stdio: "inherit" },
    );
  for (const name of namesOf(both).filter((one) => one.includes("media"))) open(name);
  const folder = join(hand, "customer_media_export");
  assert.ok(readdirSync(folder).every((name) => /^export-(part-\d+|manifest)\.tgz$/.test(name)));
  execFileSync("bash", ["-euc", `cd ${folder} && for part in *.tgz; do gunzip -c $part | tar -xf -; done`]);
  const { media } = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as {
    media: Record<string, { file_name: string; media_id: string; sha256: string }>;
  };
  const records = Object.values(media);
  for (const { mxc } of old.people.media) assert.ok(media[mxc], mxc);
  const sums = records.flatMap(({ file_name: file, media_id: id, sha256 }) => [
    `${sha256}  customer_media_export/${file}`,
    `${sha256}  local_content/${id.slice(0, 2)}/${id.slice(2, 4)}/${id.slice(4)}`,
  ]);
  writeFileSync(join(hand, "sums"), `${sums.join("\n")}\n`);
  execFileSync("sha256sum", ["--check", "--strict", "--quiet", "sums"], { cwd: hand });
});

test("what is missing already and was accepted is named by the export, its report, verify and the archive's manifest", async () => {
  const out = join(work, "lost");
  const lost = idOf(old.people.media.find(({ mxc }) => mxc !== hidden && mxc !== old.people.avatar)!.mxc);
  const path = join(
    old.home.mediaStorePath,
    "local_content",
    lost.slice(0, 2),
    lost.slice(2, 4),
    lost.slice(4),
  );
  renameSync(path, `${work}/kept`);
  try {
    const refused = await synlift([...exportTo(old, out), "--media", "archive"]);
    assert.equal(refused.code, 15, refused.stderr);
    const made = await synliftWell([
      ...exportTo(old, out),
      ...["--media", "archive", "--accept", "media-missing"],
    ]);
    const report = readFileSync(join(out, "report.html"), "utf8");
    const verified = resultOf(await synliftWell(["verify", out, ...key(out), "--json"])).findings;
    const naming = (findings: typeof verified) =>
      findings.filter(
        ({ id, evidence }) => id === "media-missing" && evidence?.some((line) => line.startsWith(lost)),
      );
    assert.equal(naming(resultOf(made).findings).length, 1);
    assert.ok(report.includes(`${lost}: `), "the report names it");
    // By the inventory, and by the manifest of the archive.
    assert.equal(naming(verified).length, 2, JSON.stringify(verified));
  } finally {
    renameSync(`${work}/kept`, path);
  }
});

test("another choice takes away what is not wanted any more", async () => {
  const out = join(work, "changed");
  const killed = await synlift([...exportTo(old, out), "--media", "archive,backup"], {
    killWhen: (stderr) => /"id":"write\/customer_db/.test(stderr),
  });
  assert.notEqual(killed.code, 0);
  await synliftWell([...exportTo(old, out), "--media", "none"]);
  assert.ok(!namesOf(out).some((name) => name.includes("media")), namesOf(out).join());
});
