import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { EncryptedClient } from "./encrypted-conversation.ts";
import type { HomeserverFolder } from "./homeserver-folder.ts";
import { type MatrixClient, register } from "./matrix-client.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** People who are ready to sign in again, and people who are not; each for another reason. */
export interface ReadinessPopulation {
  readonly admin: MatrixClient;
  readonly people: Readonly<Record<PersonName, MatrixClient>>;
  readonly roomId: string;
}

type PersonName = (typeof NAMES)[number];

const NAMES = ["alice", "bob", "carol", "dave", "erin", "frank"] as const;

/** Settings that such a population needs: guests, and a bridge with users of its own. */
export function readinessSettings(): { settings: Record<string, unknown>; bridgeToken: string } {
  const bridgeToken = randomBytes(16).toString("hex");
  const registration = join(temporaryFolder("bridge"), "bridge.yaml");
  const bridge = {
    id: "bridge",
    url: null,
    as_token: bridgeToken,
    hs_token: randomBytes(16).toString("hex"),
    sender_localpart: "bridge",
    namespaces: { users: [{ exclusive: true, regex: "@_bridge_.*" }] },
  };
  writeFileSync(registration, stringify(bridge));
  return { settings: { allow_guest_access: true, app_service_config_files: [registration] }, bridgeToken };
}

/**
 * Fills a running Synapse. In one encrypted room speak alice, bob and erin; alice has all keys in her backup, bob has no
 * backup, carol switched it off, dave is in no encrypted room, erin's app was closed before bob spoke, and frank's
 * recovery key no longer opens his backup. Besides: an administrator, a guest, a bot, a bridged user, one who is gone.
 */
export async function settleReadiness(
  baseUrl: string,
  { registrationSharedSecret, serverName }: HomeserverFolder,
  bridgeToken: string,
): Promise<ReadinessPopulation> {
  const make = (name: string, admin = false) =>
    register(baseUrl, registrationSharedSecret, { name, password: `pw-${name}`, admin });
  const admin = await make("admin", true);
  const people = {} as Record<PersonName, MatrixClient>;
  for (const name of NAMES) people[name] = await make(name);
  await accountsApart(baseUrl, admin, serverName, bridgeToken, make);

  const { alice, bob, carol, erin, frank } = people;
  const members = [alice, bob, carol, erin, frank];
  const devices = new Map<MatrixClient, EncryptedClient>();
  const device = (person: MatrixClient) => devices.get(person)!;
  try {
    for (const person of members) devices.set(person, await EncryptedClient.start(baseUrl, person.session));
    for (const person of [alice, erin, frank]) await device(person).backUpKeys();
    const roomId = await alice.createRoom({
      invite: members.slice(1).map(({ session }) => session.userId),
      initial_state: [{ type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    for (const person of members.slice(1)) await person.join(roomId);
    for (const speaker of [alice, erin, bob])
      for (const { session } of members)
        if (session !== speaker.session) await device(speaker).knows(roomId, session);

    await say(roomId, "one", device(alice), [...devices.values()]);
    await say(roomId, "two", device(erin), [...devices.values()]);
    await device(erin).hasBackedUp(2);
    // Her app is closed: what is said now does not come into her backup.
    device(erin).stop();
    devices.delete(erin);
    await say(roomId, "three", device(bob), [...devices.values()]);
    for (const person of [alice, frank]) await device(person).hasBackedUp(3);
    await setAccountData(carol, "m.key_backup", { enabled: false });
    await setAccountData(frank, "m.secret_storage.default_key", { key: "a-later-key-that-was-lost" });
    return { admin, people, roomId };
  } finally {
    for (const one of devices.values()) one.stop();
  }
}

async function accountsApart(
  baseUrl: string,
  admin: MatrixClient,
  serverName: string,
  bridgeToken: string,
  make: (name: string) => Promise<MatrixClient>,
): Promise<void> {
  const robot = await make("robot");
  await admin.call("PUT", `/_synapse/admin/v2/users/${encodeURIComponent(robot.session.userId)}`, {
    user_type: "bot",
  });
  await make("gone");
  await admin.call("POST", `/_synapse/admin/v1/deactivate/@gone:${serverName}`, {});
  await registerAs(baseUrl, "?kind=guest", {});
  const ghost = { type: "m.login.application_service", username: "_bridge_ghost" };
  await registerAs(baseUrl, "", ghost, bridgeToken);
}

async function say(
  roomId: string,
  text: string,
  speaker: EncryptedClient,
  all: readonly EncryptedClient[],
): Promise<void> {
  await speaker.say(roomId, text);
  for (const listener of all) await listener.hears(roomId, text);
}

async function setAccountData(person: MatrixClient, type: string, content: object): Promise<void> {
  const { userId } = person.session;
  await person.call(
    "PUT",
    `/_matrix/client/v3/user/${encodeURIComponent(userId)}/account_data/${type}`,
    content,
  );
}

/** Registers without a log-in of one's own. */
async function registerAs(baseUrl: string, query: string, body: object, token?: string): Promise<void> {
  const answer = await fetch(`${baseUrl}/_matrix/client/v3/register${query}`, {
    method: "POST",
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`register${query}: ${answer.status} ${await answer.text()}`);
}
