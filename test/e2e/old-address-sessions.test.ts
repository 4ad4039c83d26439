import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before } from "node:test";
import { forwardBehaviour } from "../../src/old-address/forward.ts";
import { signOutBehaviour } from "../../src/old-address/sign-out.ts";
import type { Behaviour } from "../../src/proxies/answer.ts";
import { PROXIES } from "../../src/proxies/proxies.ts";
import { EncryptedClient } from "../support/lab/encrypted-conversation.ts";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { type MatrixClient, MatrixRefusal, register } from "../support/lab/matrix-client.ts";
import { ProxyServer } from "../support/lab/proxy-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";
import { scenario } from "../support/scenario.ts";

// A real Synapse is the new server; nginx, with files that synlift writes, is the old address of two people with keys.

const { step } = scenario();
const untouched = { kind: "nothing" } as const;
const message = "This server has moved.";
let home: HomeserverFolder;
let server: SynapseServer;
let port: number;
let old: string;
let alice: MatrixClient;
let bob: MatrixClient;
let devices: readonly EncryptedClient[] = [];
let roomId: string;
let answering: ProxyServer | undefined;

/** From now on the old address answers like this, at the same port. */
async function answer(behaviour: Behaviour): Promise<void> {
  await answering?.[Symbol.asyncDispose]();
  const site = { hosts: ["127.0.0.1"] as const, listen: [{ address: "127.0.0.1", port }], tls: undefined };
  answering = await ProxyServer.start("nginx", PROXIES.nginx.site(behaviour, site, [1, 22, 1]), port);
}

before(async () => {
  home = await makeHomeserverFolder();
  server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  port = await freePort();
  old = `http://127.0.0.1:${port}`;
});

after(async () => {
  for (const device of devices) device.stop();
  await answering?.[Symbol.asyncDispose]();
  await server.stop();
});

step(
  "through a forwarded address people talk with keys, and upload and download, as with the server itself",
  async () => {
    await answer(forwardBehaviour({ to: { origin: server.baseUrl }, untouched }));
    const make = (name: string) =>
      register(server.baseUrl, home.registrationSharedSecret, { name, password: `pw-${name}` });
    alice = (await make("alice")).at(old);
    bob = (await make("bob")).at(old);
    devices = [
      await EncryptedClient.start(old, alice.session),
      await EncryptedClient.start(old, bob.session),
    ];
    roomId = await alice.createRoom({
      invite: [bob.session.userId],
      initial_state: [{ type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    await bob.join(roomId);
    await devices[0]!.knows(roomId, bob.session);
    await devices[1]!.knows(roomId, alice.session);
    await devices[0]!.say(roomId, "through the old address");
    // It comes in with a long poll that was waiting for it.
    await devices[1]!.hears(roomId, "through the old address");
    const bytes = randomBytes(3 * 1024 * 1024);
    const mxc = await alice.upload(bytes, "application/octet-stream", "photo / ü.bin");
    assert.deepEqual(Buffer.from((await bob.download(mxc)).bytes), bytes);
  },
);

step(
  "a soft sign-out refuses the session, but not the login, and other servers still get the keys",
  async () => {
    for (const device of devices) device.stop();
    await answer(signOutBehaviour({ kind: "soft", to: { origin: server.baseUrl }, message, untouched }));
    await assert.rejects(
      alice.whoami(),
      (error) =>
        error instanceof MatrixRefusal && error.status === 401 && error.errcode === "M_UNKNOWN_TOKEN",
    );
    const keys = await fetch(`${old}/_matrix/key/v2/server`);
    assert.equal(keys.status, 200);
    assert.ok("verify_keys" in ((await keys.json()) as object));
  },
);

step(
  "a client that kept its store signs in again at the old address, and reads its old messages",
  async () => {
    const { deviceId, userId } = alice.session;
    const login = await fetch(`${old}/_matrix/client/v3/login`, {
      method: "POST",
      body: JSON.stringify({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: userId },
        password: "pw-alice",
        device_id: deviceId,
      }),
    });
    const answered = (await login.json()) as { access_token: string; device_id: string };
    assert.deepEqual([login.status, answered.device_id], [200, deviceId]);
    assert.notEqual(answered.access_token, alice.session.accessToken);
    // A client that follows well_known is at the new address from now on.
    const session = { userId, deviceId, accessToken: answered.access_token };
    const again = await EncryptedClient.start(server.baseUrl, session);
    try {
      await again.hears(roomId, "through the old address");
    } finally {
      again.stop();
    }
  },
);

step("a hard sign-out refuses the login as well", async () => {
  await answer(signOutBehaviour({ kind: "hard", to: { origin: server.baseUrl }, message, untouched }));
  const refused = await fetch(`${old}/_matrix/client/v3/login`);
  assert.deepEqual(
    [refused.status, await refused.json()],
    [401, { errcode: "M_UNKNOWN_TOKEN", error: message, soft_logout: false }],
  );
});
