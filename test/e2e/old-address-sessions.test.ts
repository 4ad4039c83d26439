import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { after, before } from "node:test";
import { forwardBehaviour } from "../../src/old-address/forward.ts";
import { signOutBehaviour } from "../../src/old-address/sign-out.ts";
import type { Behaviour } from "../../src/proxies/answer.ts";
import { PROXIES } from "../../src/proxies/proxies.ts";
import { EncryptedClient } from "../support/lab/encrypted-conversation.ts";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { type MatrixClient, MatrixRefusal, register } from "../support/lab/matrix-client.ts";
import { IdentityProvider } from "../support/lab/identity-provider.ts";
import { OpenIdProvider } from "../support/lab/openid-provider.ts";
import { ProxyServer } from "../support/lab/proxy-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";
import { scenario } from "../support/scenario.ts";

// A real Synapse is the new server; nginx, with files that synlift writes, is the old address of two people with keys,
// and of two who sign in through identity providers: one that speaks CAS, and one that speaks OpenID Connect.

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
let identityProvider: IdentityProvider;
let openId: OpenIdProvider;

/** Where single sign-on ends: the app, which no server of this test is. */
const APP = "http://app.example.org/";

/** From now on the old address answers like this, at the same port. */
async function answer(behaviour: Behaviour): Promise<void> {
  await answering?.[Symbol.asyncDispose]();
  const site = { hosts: ["127.0.0.1"] as const, listen: [{ address: "127.0.0.1", port }], tls: undefined };
  answering = await ProxyServer.start("nginx", PROXIES.nginx.site(behaviour, site, [1, 22, 1]), port);
}

before(async () => {
  identityProvider = new IdentityProvider();
  await identityProvider.start();
  openId = new OpenIdProvider();
  await openId.start();
  const newPort = await freePort();
  openId.callbacks.add(`http://127.0.0.1:${newPort}/_synapse/client/oidc/callback`);
  home = await makeHomeserverFolder({
    settings: {
      listeners: [
        {
          port: newPort,
          type: "http",
          x_forwarded: true,
          bind_addresses: ["127.0.0.1"],
          resources: [{ names: ["client", "federation"] }],
        },
      ],
      public_baseurl: `http://127.0.0.1:${newPort}/`,
      oidc_providers: [openId.settings],
      cas_config: { enabled: true, server_url: identityProvider.origin },
      sso: { client_whitelist: [APP] },
    },
  });
  server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  port = await freePort();
  old = `http://127.0.0.1:${port}`;
});

after(async () => {
  for (const device of devices) device.stop();
  await answering?.[Symbol.asyncDispose]();
  await server.stop();
  identityProvider.stop();
  openId.stop();
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
    const upload = beginUpload(alice, bytes.length);
    upload.write(bytes.subarray(0, 1024 * 1024));
    await devices[0]!.say(roomId, "while a photo is on its way");
    await devices[1]!.hears(roomId, "while a photo is on its way");
    assert.equal(upload.isAnswered(), false);
    const mxc = await upload.end(bytes.subarray(1024 * 1024));
    assert.deepEqual(Buffer.from((await bob.download(mxc)).bytes), bytes);
    for (const { told } of devices) {
      assert.deepEqual(told.signedOut, []);
      assert.ok(!told.states.includes("ERROR") && !told.states.includes("RECONNECTING"), told.states.join());
    }
  },
);

step("single sign-on that begins at the old address ends with a session there", async () => {
  const begin = `${old}/_matrix/client/v3/login/sso/redirect/cas?redirectUrl=${encodeURIComponent(APP)}`;
  const { end, visited } = await browse(begin);
  assert.deepEqual(visited, [old, server.baseUrl, identityProvider.origin, server.baseUrl]);
  assert.deepEqual(await signInWith(end), { user_id: "@carol:old.example", whoami: 200 });
  // One that was begun before the address changed comes back to the old one.
  const { service } = identityProvider;
  const { end: late } = await browse(`${service.replace(server.baseUrl, old)}&ticket=another`);
  assert.deepEqual(await signInWith(late), { user_id: "@carol:old.example", whoami: 200 });
});

step("and so does one through OpenID Connect, whose cookie is kept where it comes back", async () => {
  const { end, visited } = await browse(openIdLogin());
  assert.deepEqual(visited, [old, server.baseUrl, openId.origin, server.baseUrl]);
  assert.deepEqual(await signInWith(end), { user_id: "@dora:old.example", whoami: 200 });
});

step(
  "a soft sign-out ends running syncs with the event of a session that is over, but not the login",
  async () => {
    await answer(signOutBehaviour({ kind: "soft", to: { origin: server.baseUrl }, message, untouched }));
    for (const device of devices) assert.equal(await device.isSignedOut(), true);
    for (const device of devices) device.stop();
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
    const answered = (await login.json()) as {
      access_token: string;
      device_id: string;
      well_known: { "m.homeserver": { base_url: string } };
    };
    assert.deepEqual([login.status, answered.device_id], [200, deviceId]);
    assert.notEqual(answered.access_token, alice.session.accessToken);
    // A client that follows well_known is at the new address from now on.
    assert.equal(answered.well_known["m.homeserver"].base_url, `${server.baseUrl}/`);
    const session = { userId, deviceId, accessToken: answered.access_token };
    const again = await EncryptedClient.start(server.baseUrl, session);
    try {
      await again.hears(roomId, "through the old address");
    } finally {
      again.stop();
    }
  },
);

step("single sign-on is a way to sign in again as well", async () => {
  const begin = `${old}/_matrix/client/v3/login/sso/redirect/cas?redirectUrl=${encodeURIComponent(APP)}`;
  const { end } = await browse(begin);
  // The session is one of the new server; the old address has signed it out.
  assert.deepEqual(await signInWith(end), { user_id: "@carol:old.example", whoami: 401 });
  const { end: through } = await browse(openIdLogin());
  assert.deepEqual(await signInWith(through), { user_id: "@dora:old.example", whoami: 401 });
});

step(
  "a hard sign-out ends a running sync too, refuses the login, and leaves the client's store to the app",
  async () => {
    await answer(forwardBehaviour({ to: { origin: server.baseUrl }, untouched }));
    const running = await EncryptedClient.start(old, bob.session);
    devices = [running];
    // While nobody answers, the client gives up its sync, and asks for the versions until they are answered.
    await answering?.[Symbol.asyncDispose]();
    answering = undefined;
    await running.isReconnecting();
    await answer(signOutBehaviour({ kind: "hard", to: { origin: server.baseUrl }, message, untouched }));
    assert.equal(await running.isSignedOut(), false);
    running.stop();
    const refused = await fetch(`${old}/_matrix/client/v3/login`);
    assert.deepEqual(
      [refused.status, await refused.json()],
      [401, { errcode: "M_UNKNOWN_TOKEN", error: message, soft_logout: false }],
    );
    // Element discards it then; matrix-js-sdk by itself does not.
    const kept = await EncryptedClient.start(server.baseUrl, bob.session);
    devices = [kept];
    await kept.hears(roomId, "through the old address");
  },
);

const openIdLogin = () =>
  `${old}/_matrix/client/v3/login/sso/redirect/oidc-provider?redirectUrl=${encodeURIComponent(APP)}`;

/** An upload that comes piece by piece. */
function beginUpload({ session }: MatrixClient, length: number) {
  let status: number | undefined;
  let mxc = "";
  const sent = request(`${old}/_matrix/media/v3/upload?filename=photo.bin`, {
    method: "POST",
    headers: {
      Authorization: `Bearer ${session.accessToken}`,
      "Content-Length": length,
      "Content-Type": "application/octet-stream",
    },
  });
  const ended = new Promise<void>((resolve, reject) => {
    sent.on("error", reject).on("response", (response) => {
      status = response.statusCode;
      response
        .setEncoding("utf8")
        .on("data", (text: string) => (mxc += text))
        .on("end", resolve);
    });
  });
  return {
    write: (piece: Buffer) => sent.write(piece),
    isAnswered: () => status !== undefined,
    async end(piece: Buffer): Promise<string> {
      sent.end(piece);
      await ended;
      assert.equal(status, 200, mxc);
      return (JSON.parse(mxc) as { content_uri: string }).content_uri;
    },
  };
}

/** Follows redirects until the app, as a browser does: cookies go back to the host that set them. */
async function browse(from: string): Promise<{ end: URL; visited: string[] }> {
  const cookies = new Map<string, string[]>();
  const visited: string[] = [];
  for (let url = new URL(from); ;) {
    if (url.href.startsWith(APP)) return { end: url, visited };
    visited.push(url.origin);
    assert.ok(visited.length < 10, visited.join());
    const cookie = (cookies.get(url.origin) ?? []).join("; ");
    const answered = await fetch(url, {
      redirect: "manual",
      headers: cookie === "" ? {} : { Cookie: cookie },
    });
    const set = answered.headers.getSetCookie().map((one) => one.split(";")[0]!);
    cookies.set(url.origin, [...(cookies.get(url.origin) ?? []), ...set]);
    const place = answered.headers.get("Location");
    assert.ok(place !== null, `${url.href}: ${answered.status} ${await answered.text()}`);
    url = new URL(place, url);
  }
}

/** What the app does then: signs in at its address, and uses the session there. */
async function signInWith(end: URL): Promise<{ user_id: string; whoami: number }> {
  const login = await fetch(`${old}/_matrix/client/v3/login`, {
    method: "POST",
    body: JSON.stringify({ type: "m.login.token", token: end.searchParams.get("loginToken") }),
  });
  assert.equal(login.status, 200, await login.clone().text());
  const { user_id, access_token } = (await login.json()) as { user_id: string; access_token: string };
  const whoami = await fetch(`${old}/_matrix/client/v3/account/whoami`, {
    headers: { Authorization: `Bearer ${access_token}` },
  });
  return { user_id, whoami: whoami.status };
}
