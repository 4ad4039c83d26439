import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { EncryptedClient, type RecoveryKey } from "../support/lab/encrypted-conversation.ts";
import { logIn } from "../support/lab/matrix-client.ts";
import { freePort } from "../support/lab/server-process.ts";
import { OLDER_SYNAPSE } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  exportTo,
  makeNewPlace,
  makeOldServer,
  type NewPlace,
  type OldServer,
} from "../support/old-server.ts";
import { resultOf, synliftWell } from "../support/synlift.ts";

// From a Synapse of some time ago to today's, with somebody who kept no device, only a key backup and its recovery key.

let old: OldServer;
let place: NewPlace;
let bundle: string;
let key: string[];
let recoveryKey: RecoveryKey;

before(async () => {
  old = await makeOldServer({ version: OLDER_SYNAPSE });
  const device = await EncryptedClient.start(old.server.baseUrl, old.people.alice.session);
  try {
    recoveryKey = await device.backUpKeys();
    await device.hasBackedUp(1);
  } finally {
    device.stop();
  }
  await old.server.stop();
  place = await makeNewPlace(old.cluster, "newer", await freePort());
  bundle = join(temporaryFolder("newer"), "bundle");
  key = ["--passphrase-file", `${bundle}.passphrase`];
  await synliftWell(exportTo(old, bundle));
});

after(async () => {
  if (existsSync(`${place.configDir}/homeserver.pid`)) execFileSync("sh", ["-c", place.stopCommand]);
  await old.server.stop();
  await old.cluster.stop();
});

test("a database of an older Synapse is opened by a newer one, which brings it up to date", async () => {
  await synliftWell(["restore", bundle, ...key, ...place.restoreArgs]);
  const schema = () => old.cluster.sql(place.database, "select version from schema_version");
  const before = Number(await schema());
  const open = ["open", ...place.openArgs, ...key, "--json", "--start-command", place.startCommand];
  const { details } = resultOf(await synliftWell([...open, "--stop-command", place.stopCommand]));
  assert.equal(details["opened"], true);
  assert.ok(Number(await schema()) >= before);
  const said = (await (await fetch(`${place.url}/_matrix/federation/v1/version`)).json()) as {
    server: { version: string };
  };
  assert.notEqual(said.server.version, OLDER_SYNAPSE);
});

test("a new device reads the encrypted messages from before the move, with the recovery key of the backup", async () => {
  const { roomId, texts } = old.people.encrypted;
  const { session } = await logIn(place.url, { name: "alice", password: old.people.passwords["alice"]! });
  assert.notEqual(session.deviceId, old.people.alice.session.deviceId);
  const device = await EncryptedClient.start(place.url, session, recoveryKey);
  try {
    assert.notDeepEqual(await device.texts(roomId), texts, "without the backup it reads none of it");
    assert.ok((await device.takeKeysFromBackup()) > 0);
    for (const text of texts) await device.hears(roomId, text);
  } finally {
    device.stop();
  }
});
