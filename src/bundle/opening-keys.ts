import { resolve } from "node:path";
import { MigrationError } from "../errors.ts";
import type { EncryptionKeys } from "../pipeline/encrypt.ts";
import { gpgWithHome, listSecretKeys } from "../system/gpg/home.ts";
import type { System } from "../system/system.ts";
import { passphraseFromSource, type PassphraseSource, readPassphrase } from "./passphrase.ts";

/** The options given to open a bundle. */
export interface KeySource extends PassphraseSource {
  /** The gpg home with a recipient's secret key; a passphrase is then that of the key. */
  readonly gpgHome?: string | undefined;
}

/** Fingerprints of a bundle's recipients; undefined when it is opened with a passphrase. */
export type RecipientFingerprints = readonly string[] | undefined;

/**
 * The keys to open a bundle, from the given options, else by asking for its passphrase.
 * Throws `bad-usage` when nothing is given and there is no terminal, `passphrase-invalid`, `secret-key-unusable`.
 */
export async function keysForOpening(
  recipients: RecipientFingerprints,
  source: KeySource,
  system: System,
): Promise<EncryptionKeys> {
  const lock = await keysIfGiven(recipients, source, system);
  if (lock) return lock;
  if (recipients) throw needsSecretKey(recipients);
  return { gpg: system.gpg, passphrase: await readPassphrase(source, system) };
}

/** As `keysForOpening`, but returns undefined when nothing is given; it never asks. */
export async function keysIfGiven(
  recipients: RecipientFingerprints,
  source: KeySource,
  system: System,
): Promise<EncryptionKeys | undefined> {
  const { programs, files, machine, gpg } = system;
  if (source.gpgHome === undefined) {
    const passphrase = await passphraseFromSource(source, system);
    if (passphrase === undefined) return undefined;
    if (recipients) throw needsSecretKey(recipients);
    return { gpg, passphrase };
  }
  if (!recipients) {
    throw new MigrationError("bad-usage", "this bundle is opened with a passphrase, not with a secret key", {
      hint: "leave out --gpg-home, and give the passphrase",
    });
  }
  const home = resolve(machine.folder, source.gpgHome);
  const keys = await listSecretKeys(home, files, programs);
  const mine = keys.filter((key) => recipients.includes(key.fingerprints[0] ?? ""));
  if (!mine.some(({ canDecrypt }) => canDecrypt)) {
    throw new MigrationError(
      "secret-key-unusable",
      mine.length === 0
        ? `${home} has no secret key of a recipient of this bundle: ${recipients.join(", ")}`
        : `${home} knows the key ${mine[0]!.fingerprints[0]!}, but the secret key that decrypts is not available`,
      {
        hint: "name the gpg home of the account that has the secret key, and run synlift as that account or as root",
      },
    );
  }
  return { gpg: gpgWithHome(home, programs), passphrase: await passphraseFromSource(source, system) };
}

const needsSecretKey = (recipients: readonly string[]) =>
  new MigrationError(
    "bad-usage",
    `this bundle is for ${recipients.join(", ")}: it is opened with a secret key, not with a passphrase`,
    { hint: "name the gpg home with the secret key: --gpg-home ~/.gnupg" },
  );
