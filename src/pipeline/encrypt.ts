import type { Gpg, Output } from "../system/programs/programs.ts";
import type { Bytes } from "./stage.ts";

/** What closes and opens a bundle. */
export interface Lock {
  readonly gpg: Gpg;
  /** Opens, unless gpg itself finds a secret key: then it may be left out, or be what unlocks that key. */
  readonly passphrase: string | undefined;
  /** Fingerprints of keys in gpg's home, whose owners can open what is closed with this, beside who has the passphrase. */
  readonly recipients?: readonly string[];
  /**
   * Whether the passphrase was made at random by us: then nobody guesses it, and gpg's slow way from a passphrase to a
   * key (RFC 4880, 3.7.1.3), a third of a second each time, gains nothing.
   */
  readonly isRandom?: boolean;
}

/**
 * Makes one OpenPGP message (AES-256) that only who has the passphrase, or a recipient's secret key, can read. gpg's
 * own compression is off: what it gets is compressed.
 */
export function encryptWith({
  gpg,
  passphrase,
  recipients = [],
  isRandom = false,
}: Lock): (source: Bytes) => Output {
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
 * Undoes `encryptWith`. Bytes come out before gpg has proven them: trust none of them until the stream has ended well.
 * Throws `passphrase-wrong`, `secret-key-unusable`, or `program-failed` when the message is damaged.
 */
export function decryptWith({ gpg, passphrase }: Lock): (source: Bytes) => Output {
  return (source) => gpg(["--decrypt"], passphrase, source);
}

/**
 * Who owns a key was settled by whoever named it: gpg is not to ask whether it trusts it. With a passphrase beside the
 * keys, the message holds its session key encrypted, by a cipher of its own.
 */
const toRecipients = (recipients: readonly string[]) => [
  ...["--s2k-cipher-algo", "AES256", "--trust-model", "always", "--no-encrypt-to"],
  ...recipients.flatMap((fingerprint) => ["--recipient", fingerprint]),
  "--encrypt",
];
