import { resolve } from "node:path";
import { MigrationError } from "../errors.ts";
import type { Lock } from "../pipeline/encrypt.ts";
import { gpgIn, secretKeysIn } from "../system/gpg/home.ts";
import type { System } from "../system/system.ts";
import { fromSource, type PassphraseSource, readPassphrase } from "./passphrase.ts";

/** What somebody gave to open a bundle with. */
export interface KeySource extends PassphraseSource {
  /** The gpg home that holds a recipient's secret key; the passphrase, if any, is then that key's. */
  readonly gpgHome?: string | undefined;
}

/** Fingerprints of those for whom a bundle was made; undefined when it was made for a passphrase. */
export type For = readonly string[] | undefined;

/**
 * What opens a bundle, from what was given, else by asking for its passphrase.
 * Throws `bad-usage` when nothing is given and nobody can be asked, `passphrase-unusable`, `secret-key-unusable`.
 */
export async function lockToOpen(recipients: For, source: KeySource, system: System): Promise<Lock> {
  const lock = await lockIfGiven(recipients, source, system);
  if (lock) return lock;
  if (recipients) throw needsSecretKey(recipients);
  return { gpg: system.gpg, passphrase: await readPassphrase(source, system) };
}

/** As `lockToOpen`, but undefined when nothing is given; nobody is asked. */
export async function lockIfGiven(
  recipients: For,
  source: KeySource,
  system: System,
): Promise<Lock | undefined> {
  const { programs, files, machine, gpg } = system;
  if (source.gpgHome === undefined) {
    const passphrase = await fromSource(source, system);
    if (passphrase === undefined) return undefined;
    if (recipients) throw needsSecretKey(recipients);
    return { gpg, passphrase };
  }
  if (!recipients) {
    throw new MigrationError("bad-usage", "this bundle was made for a passphrase: no secret key opens it", {
      hint: "leave out --gpg-home, and give the passphrase",
    });
  }
  const home = resolve(machine.folder, source.gpgHome);
  const keys = await secretKeysIn(home, files, programs);
  const mine = keys.filter((key) => recipients.includes(key.fingerprints[0] ?? ""));
  if (!mine.some(({ opens }) => opens)) {
    throw new MigrationError(
      "secret-key-unusable",
      mine.length === 0
        ? `${home} has no secret key of those this bundle is for: ${recipients.join(", ")}`
        : `${home} knows the key ${mine[0]!.fingerprints[0]!}, but the secret part that opens is not there`,
      { hint: "name the home of the account that holds it, as that account or as root" },
    );
  }
  return { gpg: gpgIn(home, programs), passphrase: await fromSource(source, system) };
}

const needsSecretKey = (recipients: readonly string[]) =>
  new MigrationError(
    "bad-usage",
    `this bundle is for ${recipients.join(", ")}: a secret key opens it, no passphrase`,
    { hint: "name the gpg home that holds the secret key: --gpg-home ~/.gnupg" },
  );
