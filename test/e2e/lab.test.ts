import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { readWithOldDevice } from "../support/lab/encrypted-conversation.ts";
import { makeHomeserverFolder, postgresDatabase } from "../support/lab/homeserver-folder.ts";
import { logIn, MatrixRefusal } from "../support/lab/matrix-client.ts";
import { populate, type Population } from "../support/lab/populate.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";

// What the other tests take for granted: a homeserver that is stopped and started again keeps all that people have on
// it, and a client can tell.

let cluster: PostgresCluster;
let synapse: SynapseServer;
let people: Population;

before(async () => {
  cluster = await PostgresCluster.start();
  const database = await postgresDatabase(cluster, "synapse");
  const { configFile, dataFolder, registrationSharedSecret } = await makeHomeserverFolder({ database });
  synapse = new SynapseServer({ configFiles: [configFile], folder: dataFolder });
  await synapse.start();
  people = await populate(synapse.baseUrl, registrationSharedSecret);
  await synapse.stop();
  await synapse.start();
});

after(async () => {
  await synapse.stop();
  await cluster.stop();
});

test("an old session still reads the messages of its rooms", async () => {
  const { user_id: userId, device_id: deviceId } = await people.bob.whoami();
  assert.deepEqual(
    { userId, deviceId },
    { userId: people.bob.session.userId, deviceId: people.bob.session.deviceId },
  );
  for (const room of Object.values(people.rooms)) {
    assert.deepEqual(await people.bob.messages(room.id), room.messages);
  }
});

test("a public room is found by its alias", async () => {
  assert.equal(await people.admin.join(people.publicAlias), people.rooms.public.id);
});

test("each file comes back bit for bit, with its type", async () => {
  for (const { mxc, name, type, sha256 } of people.media) {
    const download = await people.bob.download(mxc);
    assert.equal(createHash("sha256").update(download.bytes).digest("hex"), sha256, name);
    // Synapse adds a charset to text.
    assert.equal(download.type, type === "text/plain" ? "text/plain; charset=UTF-8" : type, name);
  }
});

test("a picture has thumbnails", async () => {
  const { type } = await people.bob.thumbnail(people.avatar, { width: 96, height: 96 });
  assert.equal(type, "image/png");
});

test("the old devices read the encrypted conversation, another device does not", async () => {
  const { roomId, texts } = people.encrypted;
  for (const { session } of [people.alice, people.bob]) {
    assert.deepEqual(await readWithOldDevice(synapse.baseUrl, session, roomId), texts);
  }
  const { session } = await logIn(synapse.baseUrl, { name: "bob", password: people.passwords.bob! });
  const unread = await readWithOldDevice(synapse.baseUrl, session, roomId);
  assert.equal(unread.filter((text) => texts.includes(text)).length, 0);
});

test("a wrong password is refused, with the server's own code", async () => {
  const attempt = logIn(synapse.baseUrl, { name: "alice", password: "a guess" });
  await assert.rejects(attempt, (error) => error instanceof MatrixRefusal && error.errcode === "M_FORBIDDEN");
});
