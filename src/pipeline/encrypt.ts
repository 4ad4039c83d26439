import { inTurn } from "./in-turn.ts";
import type { Gpg, Output } from "../system/programs/programs.ts";
import type { Bytes } from "./transform.ts";

/** What is needed to encrypt and decrypt a bundle. */
export interface EncryptionKeys {
  readonly gpg: Gpg;
  /** Decrypts the bundle. With a secret key in gpg's home it may be left out, or be the passphrase of that key. */
  readonly passphrase: string | undefined;
  /** Fingerprints of public keys in gpg's home. Their owners can decrypt as well, without the passphrase. */
  readonly recipients?: readonly string[];
  /**
   * Whether synlift generated the passphrase at random. It cannot be guessed then, so gpg's slow key derivation
   * (RFC 4880, 3.7.1.3), a third of a second each time, gains nothing.
   */
  readonly isRandom?: boolean;
}

/**
 * Makes one OpenPGP message (AES-256). It is decrypted with the passphrase or with a recipient's secret key. gpg's
 * own compression is off, because the input is compressed already.
 */
export function encryptWith({
  gpg,
  passphrase,
  recipients = [],
  isRandom = false,
}: EncryptionKeys): (source: Bytes) => Output {
  const args = [
    "--compress-algo",
    "none",
    "--cipher-algo",
    "AES256",
    "--s2k-digest-algo",
    "SHA512",
    ...(isRandom ? ["--s2k-count", "65536"] : []),
    ...(recipients.length === 0 ? [] : toRecipients(recipients)),
    "--symmetric",
  ];
  return (source) => gpg(args, passphrase, source);
}

/**
 * Encrypts small messages with a gpg that was started before: deriving the key from a passphrase takes it a third of a second of
 * processor time, and it does that before it reads anything.
 */
export class EncryptionAhead {
  readonly #encrypt: (source: Bytes) => Bytes;
  #waiting: WaitingGpg | undefined;

  constructor(keys: EncryptionKeys) {
    this.#encrypt = encryptWith(keys);
  }

  /** Starts gpg for the next message, if none waits yet. Never throws. */
  prepare(): void {
    this.#waiting ??= startWaiting(this.#encrypt);
  }

  /** Encrypts a message with the gpg that waits; with another one where none does, or where it has ended. */
  async *encrypt(message: Uint8Array): Bytes {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    let any = false;
    if (waiting) {
      waiting.give(inTurn([message]));
      try {
        for await (const chunk of waiting.output) {
          any = true;
          yield chunk;
        }
        return;
      } catch (error) {
        // What has ended while it waited has not failed at this message.
        if (any) throw error;
      }
    }
    yield* this.#encrypt(inTurn([message]));
  }

  /** Ends the gpg that waits. May be called twice. */
  async end(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    await waiting?.dismiss();
  }
}

interface WaitingGpg {
  give(source: Bytes): void;
  /** To be read once something was given. */
  readonly output: Bytes;
  dismiss(): Promise<void>;
}

function startWaiting(encrypt: (source: Bytes) => Bytes): WaitingGpg {
  let give: (source: Bytes) => void = () => undefined;
  let refuse: (reason: unknown) => void = () => undefined;
  const given = new Promise<Bytes>((resolve, reject) => {
    give = resolve;
    refuse = reject;
  });
  // When gpg cannot be started, nobody reads it.
  given.catch(() => undefined);
  const output = encrypt(
    (async function* () {
      yield* await given;
    })(),
  )[Symbol.asyncIterator]();
  // Asking for the first of its output is what starts it.
  const first = output.next();
  first.catch(() => undefined);
  return {
    give,
    output: (async function* () {
      try {
        for (let next = await first; next.done !== true; next = await output.next()) yield next.value;
      } finally {
        await output.return?.();
      }
    })(),
    async dismiss() {
      refuse(new Error("there is no message any more"));
      await first.catch(() => undefined);
      await output.return?.().catch(() => undefined);
    },
  };
}

/**
 * Reverses `encryptWith`. gpg verifies integrity only at the end: do not trust any byte before the stream has ended.
 * Throws `passphrase-wrong`, `secret-key-unusable`, or `program-failed` when the message is damaged.
 */
export function decryptWith({ gpg, passphrase }: EncryptionKeys): (source: Bytes) => Output {
  return (source) => gpg(["--decrypt"], passphrase, source);
}

/**
 * The user who named a key has decided to trust it, so gpg does not check its trust. With a passphrase in addition to
 * public keys, the session key is encrypted with a cipher that has an option of its own.
 */
const toRecipients = (recipients: readonly string[]) => [
  ...["--s2k-cipher-algo", "AES256", "--trust-model", "always", "--no-encrypt-to"],
  ...recipients.flatMap((fingerprint) => ["--recipient", fingerprint]),
  "--encrypt",
];
