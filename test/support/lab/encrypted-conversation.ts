// The SDK keeps keys in IndexedDB only; this one lives in this process, and outlives the clients that use it.
import { setTimeout as wait } from "node:timers/promises";
import "fake-indexeddb/auto";
import {
  ClientEvent,
  createClient,
  HttpApiEvent,
  type MatrixClient as SdkClient,
  type MatrixError,
  Method,
  type Room,
} from "matrix-js-sdk";
import type { CryptoCallbacks } from "matrix-js-sdk/lib/crypto-api/index.js";
import { type Logger, logger as moduleLogger } from "matrix-js-sdk/lib/logger.js";
import type { MatrixClient, Session } from "./matrix-client.ts";

const PATIENCE = 120_000;

/** One person's device with its keys: real Olm and Megolm, with one-time keys uploaded to the server. */
export class EncryptedClient {
  readonly #sdk: SdkClient;
  readonly #hasStopped: AbortController;
  /** What it was told when its session ended, and the states of its sync, in order. */
  readonly told: { readonly signedOut: MatrixError[]; readonly states: string[] } = {
    signedOut: [],
    states: [],
  };

  private constructor(sdk: SdkClient, hasStopped: AbortController) {
    this.#sdk = sdk;
    this.#hasStopped = hasStopped;
    sdk.on(HttpApiEvent.SessionLoggedOut, (error) => this.told.signedOut.push(error));
    sdk.on(ClientEvent.Sync, (state) => this.told.states.push(state));
  }

  /** Waits until its sync is told that the session has ended; says with which `soft_logout`. */
  async isSignedOut(): Promise<unknown> {
    await until("Session.logged_out", () => this.told.signedOut.length > 0);
    return this.told.signedOut[0]!.data["soft_logout"];
  }

  /** Waits until it has noticed that nobody answers its sync. */
  async isReconnecting(): Promise<void> {
    await until("a sync that failed", () => this.told.states.includes("RECONNECTING"));
  }

  /** Starts the device that belongs to the session; when it was there before in this process, it has its old keys. */
  static async start(baseUrl: string, session: Session, recoveryKey?: RecoveryKey): Promise<EncryptedClient> {
    silence();
    ignoreLongTimers();
    const hasStopped = new AbortController();
    const fetchFn = fetchUntil(hasStopped.signal);
    const cryptoCallbacks = rememberingKeys(recoveryKey);
    const sdk = createClient({ baseUrl, ...session, logger: SILENT, fetchFn, cryptoCallbacks });
    await sdk.initRustCrypto({ cryptoDatabasePrefix: `${session.userId}|${session.deviceId}` });
    await sdk.startClient({ initialSyncLimit: 100 });
    await until("the first sync", () => sdk.isInitialSyncComplete());
    await until("the device's keys to be on the server", async () => {
      const { device_keys: keys } = await sdk.downloadKeysForUsers([session.userId]);
      return keys[session.userId]?.[session.deviceId] !== undefined;
    });
    return new EncryptedClient(sdk, hasStopped);
  }

  /** A device that is not known to be in the room when a message is sent gets no key for it. */
  async knows(roomId: string, { userId, deviceId }: Session): Promise<void> {
    await until(`${userId} to join`, () => this.#room(roomId)?.getMember(userId)?.membership === "join");
    await until(`the keys of ${userId}`, async () => {
      const devices = await this.#sdk.getCrypto()!.getUserDeviceInfo([userId], true);
      return devices.get(userId)?.has(deviceId) === true;
    });
  }

  async say(roomId: string, text: string): Promise<void> {
    await until(`${roomId} to be encrypted`, () => this.#room(roomId)?.hasEncryptionStateEvent() === true);
    await this.#sdk.sendTextMessage(roomId, text);
  }

  /** The texts of the room's encrypted messages, oldest first. One that cannot be decrypted is shown as the SDK shows it. */
  async texts(roomId: string): Promise<string[]> {
    await until(`${roomId} to appear`, () => this.#room(roomId) !== null);
    const events = this.#room(roomId)?.getLiveTimeline().getEvents() ?? [];
    const encrypted = events.filter((event) => event.isEncrypted());
    await Promise.all(encrypted.map((event) => this.#sdk.decryptEventIfNeeded(event)));
    return encrypted.map((event) => String(event.getContent().body));
  }

  /** Waits until a text has come in and could be decrypted. */
  async hears(roomId: string, text: string): Promise<void> {
    await until(`"${text}"`, async () => (await this.texts(roomId)).includes(text));
  }

  /** Sets up cross-signing, secret storage and a key backup, as a client does when it is asked to. Answers the recovery key. */
  async backUpKeys(): Promise<RecoveryKey> {
    const crypto = this.#sdk.getCrypto()!;
    await crypto.bootstrapCrossSigning({
      authUploadDeviceSigningKeys: (upload) => upload(null),
    });
    const made = await crypto.createRecoveryKeyFromPassphrase();
    await crypto.bootstrapSecretStorage({
      createSecretStorageKey: () => Promise.resolve(made),
      setupNewKeyBackup: true,
      setupNewSecretStorage: true,
    });
    return made.privateKey;
  }

  /** Takes the room keys out of the backup, as a new device does once its person has typed the recovery key. */
  async takeKeysFromBackup(): Promise<number> {
    const crypto = this.#sdk.getCrypto()!;
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    return (await crypto.restoreKeyBackup()).imported;
  }

  /** Waits until the server's backup holds so many keys. The client takes its time: ten seconds at random. */
  async hasBackedUp(keys: number): Promise<void> {
    await until(`${keys} keys to be in the backup`, async () => {
      const { count } = await this.#sdk.http.authedRequest<{ count: number }>(
        Method.Get,
        "/room_keys/version",
      );
      return count >= keys;
    });
  }

  /** The device's own key, as it has to stay. */
  async identityKey(): Promise<string> {
    return (await this.#sdk.getCrypto()!.getOwnDeviceKeys()).curve25519;
  }

  stop(): void {
    this.#sdk.stopClient();
    this.#hasStopped.abort();
  }

  #room(roomId: string): Room | null {
    return this.#sdk.getRoom(roomId);
  }
}

/** What a person notes down when their keys are backed up. */
export type RecoveryKey = Uint8Array<ArrayBuffer>;

export interface EncryptedConversation {
  readonly roomId: string;
  /** In the order in which they were said. */
  readonly texts: readonly string[];
  /** What each device's own key must still be after a move. */
  readonly identityKeys: Readonly<Record<string, string>>;
}

/** Two people make an encrypted room and talk in it, in turns; each has read all of it in the end. */
export async function holdEncryptedConversation(
  one: MatrixClient,
  other: MatrixClient,
  texts: readonly string[] = [
    "the key is under the mat 🔑",
    "which mat?",
    "not in the clear, please",
    "ünverschlüsselt nie",
  ],
): Promise<EncryptedConversation> {
  const devices = [
    await EncryptedClient.start(one.baseUrl, one.session),
    await EncryptedClient.start(other.baseUrl, other.session),
  ];
  try {
    const roomId = await one.createRoom({
      name: "Under four eyes",
      preset: "trusted_private_chat",
      invite: [other.session.userId],
      initial_state: [{ type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    await other.join(roomId);
    await devices[0]!.knows(roomId, other.session);
    await devices[1]!.knows(roomId, one.session);
    for (const [turn, text] of texts.entries()) {
      await devices[turn % 2]!.say(roomId, text);
      for (const device of devices) await device.hears(roomId, text);
    }
    const keys = await Promise.all(devices.map((device) => device.identityKey()));
    return {
      roomId,
      texts,
      identityKeys: { [one.session.userId]: keys[0]!, [other.session.userId]: keys[1]! },
    };
  } finally {
    for (const device of devices) device.stop();
  }
}

/** What somebody's old device reads of the conversation on another server, with the token and the keys that it kept. */
export async function readWithOldDevice(
  baseUrl: string,
  session: Session,
  roomId: string,
): Promise<string[]> {
  const device = await EncryptedClient.start(baseUrl, session);
  try {
    return await device.texts(roomId);
  } finally {
    device.stop();
  }
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const limit = performance.now() + PATIENCE;
  while (!(await isTrue())) {
    if (performance.now() > limit) throw new Error(`waited ${PATIENCE / 1000} s for ${what}`);
    await wait(20);
  }
}

/** The keys of secret storage that this client made, as a person's note with the recovery key. */
function rememberingKeys(typed?: RecoveryKey): CryptoCallbacks {
  const known = new Map<string, Uint8Array<ArrayBuffer>>();
  return {
    cacheSecretStorageKey: (id, _info, key) => void known.set(id, key),
    getSecretStorageKey: ({ keys }) => {
      const [first] = Object.keys(keys);
      if (typed && first !== undefined) return Promise.resolve([first, typed]);
      const found = Object.keys(keys).find((id) => known.has(id));
      return Promise.resolve(found === undefined ? null : [found, known.get(found)!]);
    },
  };
}

const nothing = () => undefined;

const SILENT: Logger = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  getChild: () => SILENT,
};

/** Parts of the SDK ignore the logger of their client and use one of their own, a loglevel one. */
function silence(): void {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- deprecated for writing to it, and there is no other way to hush it
  const loglevel = moduleLogger as Logger as Logger & { methodFactory: () => () => void; rebuild(): void };
  loglevel.methodFactory = () => nothing;
  loglevel.rebuild();
}

/** The SDK's crypto goes on sending what it has to, also after its client stopped; a plain refusal ends its retries. */
function fetchUntil(hasStopped: AbortSignal): typeof fetch {
  return (input, init = {}) => {
    if (hasStopped.aborted) return Promise.resolve(Response.json({ errcode: "M_UNKNOWN" }, { status: 410 }));
    const signal = init.signal ? AbortSignal.any([init.signal, hasStopped]) : hasStopped;
    return fetch(input, { ...init, signal });
  };
}

const LONG = 60_000;
const realSetTimeout = globalThis.setTimeout;

/**
 * The SDK never clears the time limits of its requests, nor the five minutes that it gives a message to become readable:
 * they would keep the process alive long after the last client stopped.
 */
function ignoreLongTimers(): void {
  globalThis.setTimeout = new Proxy(realSetTimeout, {
    apply(target, self: unknown, args: Parameters<typeof setTimeout>) {
      const timer: unknown = Reflect.apply(target, self, args);
      return timer instanceof Object && (args[1] ?? 0) >= LONG ? (timer as NodeJS.Timeout).unref() : timer;
    },
  });
}
