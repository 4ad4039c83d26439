import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { uploadPath } from "../../src/homeserver/media/store/layout.ts";
import {
  type HomeserverFolder,
  makeHomeserverFolder,
  postgresDatabase,
} from "../support/lab/homeserver-folder.ts";
import { type MatrixClient, MatrixRefusal, register } from "../support/lab/matrix-client.ts";
import { smallPicture } from "../support/lab/populate.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { s3Packages, S3Server } from "../support/lab/s3-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { exportTo, makeNewPlace, type NewPlace } from "../support/old-server.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A homeserver whose media is in a folder and in a bucket moves to one that has it all in a folder. The tests are its
// steps, in order.

let cluster: PostgresCluster;
let bucket: S3Server;
let home: HomeserverFolder;
let server: SynapseServer;
let place: NewPlace;
let admin: MatrixClient;
let alice: MatrixClient;
let bundle: string;
const uploads = new Map<string, { readonly id: string; readonly mxc: string; readonly sha256: string }>();
const SECRET = "the-bucket-key-that-nobody-sees";

before(async () => {
  [cluster, bucket] = await Promise.all([PostgresCluster.start(), S3Server.start()]);
  await bucket.makeBucket("media");
  const config = {
    ...{ bucket: "media", prefix: "old/", endpoint_url: bucket.url, region_name: "us-east-1" },
    ...{ access_key_id: "lab", secret_access_key: SECRET },
  };
  const provider = {
    module: "s3_storage_provider.S3StorageProviderBackend",
    ...{ store_local: true, store_remote: true, store_synchronous: true, config },
  };
  home = await makeHomeserverFolder({
    database: await postgresDatabase(cluster, "old"),
    settings: { media_storage_providers: [provider] },
  });
  server = new SynapseServer({
    ...{ configFiles: [home.configFile], folder: home.dataFolder },
    environment: { PYTHONPATH: s3Packages() },
  });
  await server.start();
  admin = await register(server.baseUrl, home.registrationSharedSecret, {
    name: "admin",
    password: "pw",
    admin: true,
  });
  alice = await register(server.baseUrl, home.registrationSharedSecret, { name: "alice", password: "pw" });
  for (const [name, type, bytes] of [
    ["here", "image/png", smallPicture(640, 480)],
    ["in-the-bucket", "image/png", smallPicture(320, 240)],
    ["large-in-the-bucket", "application/octet-stream", randomBytes(3_000_000)],
    ["blocked", "application/octet-stream", randomBytes(2000)],
  ] as const) {
    const mxc = await alice.upload(bytes, type, name);
    const id = mxc.split("/").at(-1)!;
    uploads.set(name, { id, mxc, sha256: createHash("sha256").update(bytes).digest("hex") });
  }
  const blocked = uploads.get("blocked")!;
  await admin.call("POST", `/_synapse/admin/v1/media/quarantine/${home.serverName}/${blocked.id}`, {});
  await makeRemoteMedia();
  place = await makeNewPlace(cluster, "new", await freePort());
  bundle = join(temporaryFolder("media-move"), "bundle");
});

after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
  await server.stop();
  await bucket.stop();
  await cluster.stop();
});

/** As Synapse has it of a server that has been silent for months, and of one that answered a moment ago. */
async function makeRemoteMedia(): Promise<void> {
  const rows = [
    ["gone.example", "left", "AAaaGone", "NULL"],
    ["well.example", "right", "BBbbWell", "NULL"],
    ["well.example", "bad", "CCccBad", "'@admin:old.example'"],
  ];
  for (const [origin, , file] of rows) put(home.mediaStorePath, remotePath(origin!, file!), "from elsewhere");
  const values = rows.map(
    ([origin, id, file, by]) => `('${origin!}', '${id!}', 'text/plain', 1, 'x', 14, '${file!}', 1, ${by!})`,
  );
  await cluster.sql(
    "old",
    `INSERT INTO remote_media_cache (media_origin, media_id, media_type, created_ts, upload_name, media_length, filesystem_id, last_access_ts, quarantined_by)
     VALUES ${values.join(", ")};
     INSERT INTO destinations (destination, retry_last_ts, retry_interval, failure_ts)
     VALUES ('gone.example', 1, 86400000, 1), ('well.example', 0, 0, NULL);`,
  );
}

const remotePath = (origin: string, id: string) =>
  `remote_content/${origin}/${id.slice(0, 2)}/${id.slice(2, 4)}/${id.slice(4)}`;

function put(store: string, path: string, content: string): void {
  mkdirSync(dirname(join(store, path)), { recursive: true });
  writeFileSync(join(store, path), content);
}

const fileOf = (store: string, name: string) => join(store, uploadPath(uploads.get(name)!.id)!);

const check = (config: string, ...more: string[]) =>
  synlift(["media", "check", "--config", config, "--json", ...more]);

test("with part of its media in a bucket alone, a homeserver has nothing missing", async () => {
  for (const name of ["in-the-bucket", "large-in-the-bucket"]) rmSync(fileOf(home.mediaStorePath, name));
  const { id } = uploads.get("in-the-bucket")!;
  rmSync(join(home.mediaStorePath, uploadPath(id)!.replace("local_content", "local_thumbnails")), {
    recursive: true,
  });
  const ran = await check(home.configFile, "--hashes");
  assert.equal(ran.code, 0, ran.stderr);
  const { media } = resultOf(ran).details as { media: Record<string, unknown> };
  const { rows, provided, missing, hashed, changed } = media;
  assert.deepEqual(
    { rows, provided, missing, hashed, changed },
    { rows: 4, provided: 2, missing: 0, hashed: 4, changed: 0 },
  );
  assert.ok(!ran.stdout.includes(SECRET) && !ran.stderr.includes(SECRET));
});

test("an upload that is nowhere stops an export, with whose it is, before anything is written", async () => {
  await server.stop();
  const kept = fileOf(home.mediaStorePath, "here");
  execFileSync("mv", [kept, `${kept}.aside`]);
  await bucket.remove("media", `old/${uploadPath(uploads.get("here")!.id)!}`);
  const ran = await synlift(exportTo({ configPaths: [home.configFile], home }, `${bundle}.refused`));
  assert.equal(ran.code, 15, ran.stderr);
  assert.match(ran.stderr, new RegExp(`1 of 4 uploads.*${uploads.get("here")!.id}.*from @alice:old.example`));
  execFileSync("mv", [`${kept}.aside`, kept]);
});

test("the export packs what the bucket has, and media of a server that is gone", async () => {
  const ran = await synliftWell(exportTo({ configPaths: [home.configFile], home }, bundle));
  const kept = resultOf(ran).findings.find(({ id }) => id === "media-remote-kept");
  assert.deepEqual(kept?.evidence, ["gone.example: 1 file, 14 B"]);
  assert.ok(!ran.stdout.includes(SECRET) && !ran.stderr.includes(SECRET));
});

test("without the bucket, the new server serves every upload bit for bit, thumbnails included", async () => {
  await bucket.stop();
  const key = ["--passphrase-file", `${bundle}.passphrase`];
  await synliftWell(["restore", bundle, ...key, ...place.restoreArgs, "--json"]);
  const start = `PYTHONPATH=${s3Packages()} ${place.startCommand.replace(/^cd \S+ && /, "").replace(/ -c \S+conf\.d/, "")}`;
  const opened = await synliftWell([
    // The module is only where the start command says.
    ...["open", ...place.openArgs, ...key, "--json", "--accept", "synapse-parts"],
    ...["--start-command", `cd ${place.folder} && ${start}`, "--stop-command", place.stopCommand],
  ]);
  assert.equal(resultOf(opened).details["opened"], true);
  const there = alice.at(place.url);
  for (const name of ["here", "in-the-bucket", "large-in-the-bucket"]) {
    const { mxc, sha256 } = uploads.get(name)!;
    const { bytes } = await there.download(mxc);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
  }
  for (const name of ["here", "in-the-bucket"])
    assert.equal(
      (await there.thumbnail(uploads.get(name)!.mxc, { width: 96, height: 96 })).type,
      "image/png",
    );
  const { id } = uploads.get("in-the-bucket")!;
  const thumbnails = join(place.mediaDir, uploadPath(id)!.replace("local_content", "local_thumbnails"));
  assert.ok(existsSync(thumbnails), "they were in the bucket, and are not made anew");
});

test("what was quarantined still is, and of other servers' media that stays which nobody else has", async () => {
  await assert.rejects(
    alice.at(place.url).download(uploads.get("blocked")!.mxc),
    (error) => error instanceof MatrixRefusal && error.status === 404,
  );
  const ids = await cluster.sql(
    "new",
    "SELECT string_agg(media_id, ' ' ORDER BY media_id) FROM remote_media_cache",
  );
  assert.equal(ids, "bad left");
  assert.ok(existsSync(join(place.mediaDir, remotePath("gone.example", "AAaaGone"))));
  assert.ok(!existsSync(join(place.mediaDir, remotePath("well.example", "BBbbWell"))));
});

test("after the move the media can be checked, and a fault has an exit code", async () => {
  const config = join(place.configDir, "homeserver.yaml");
  const well = await check(config, "--hashes");
  assert.equal(well.code, 0, well.stderr);
  writeFileSync(fileOf(place.mediaDir, "here"), "something else");
  const ran = await check(config);
  assert.equal(ran.code, 60, ran.stderr);
  const { media } = resultOf(ran).details as { media: Record<string, unknown> };
  assert.deepEqual([media["differing"], media["missing"]], [1, 0]);
});
