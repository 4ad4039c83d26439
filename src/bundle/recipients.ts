import { resolve } from "node:path";
import { Readable } from "node:stream";
import { MigrationError } from "../errors.ts";
import type { Finding } from "../report/finding.ts";
import { findPublicKey } from "../system/gpg/home.ts";
import { type ListedKey, parseListing } from "../system/gpg/listing.ts";
import type { System } from "../system/system.ts";

/** The recipients of a bundle. Their public keys are in the home of `system.gpg`. */
export interface Recipients {
  /** Sorted, without duplicates. */
  readonly fingerprints: readonly string[];
  readonly findings: readonly Finding[];
}

/** Milliseconds: a key that expires sooner may have expired when the bundle is needed. */
const SOON = 14 * 24 * 3600 * 1000;

/** Maximum size of a public key file in bytes. */
const LARGEST = 4 * 1024 * 1024;

/**
 * Reads each key, from a file or by its fingerprint from the user's keyring, and verifies that gpg can encrypt to it.
 * Writes only into a temporary gpg home. Throws `recipient-key-invalid`, `file-missing`, `permission-denied`.
 */
export async function readRecipients(given: readonly string[], system: System): Promise<Recipients> {
  const keys = new Map<string, ListedKey>();
  for (const name of given) {
    const key = await readRecipient(name, system);
    keys.set(key.fingerprints[0]!, key);
  }
  const fingerprints = [...keys.keys()].sort();
  const now = system.machine.now();
  return { fingerprints, findings: fingerprints.map((fingerprint) => finding(keys.get(fingerprint)!, now)) };
}

async function readRecipient(name: string, system: System): Promise<ListedKey> {
  const typed = /^(?:0x)?([0-9A-F]{40})$/i.exec(name.replaceAll(" ", ""))?.[1]?.toUpperCase();
  const [origin, bytes] =
    typed === undefined ? await fromFile(name, system) : await fromKeyring(typed, system);
  const listed = await keysIn(bytes, system);
  const [key, another] = listed;
  if (!key) throw unusable(`${origin} contains no OpenPGP public key`, EXPORT);
  if (listed.some(({ secret }) => secret)) {
    throw unusable(
      `${origin} is a secret key, which should not be on this host`,
      `remove it from this host, and give the public key: ${EXPORT}`,
    );
  }
  if (another) {
    throw unusable(`${origin} contains ${listed.length} keys`, `use one file for each key: ${EXPORT}`);
  }
  mustBeFit(key, origin);
  return taken(key, bytes, origin, system);
}

async function fromFile(name: string, { files, machine }: System): Promise<[string, Uint8Array]> {
  const path = resolve(machine.folder, name);
  const found = await files.stat(path);
  if (found && found.kind !== "file") throw unusable(`${path} is not a regular file`, EXPORT);
  if (found && found.size > LARGEST) throw unusable(`${path} is too large for a public key`, EXPORT);
  return [path, await files.readWhole(path)];
}

async function fromKeyring(fingerprint: string, { files, programs }: System): Promise<[string, Uint8Array]> {
  const found = await findPublicKey(fingerprint, files, programs);
  if (!found) {
    throw unusable(
      `your keyring has no key ${fingerprint}`,
      "import the key first, or name a file that contains it; with sudo, the keyring is that of root",
    );
  }
  // That a key was disabled is recorded only in the keyring, and is lost when the key is exported.
  mustBeFit(found.listed, `the key ${fingerprint}`);
  return [`the key ${fingerprint}`, Buffer.from(found.armoured)];
}

/** The keys in these bytes; none when they are not keys. */
async function keysIn(bytes: Uint8Array, system: System): Promise<ListedKey[]> {
  try {
    return parseListing(await ask(["--with-colons", "--show-keys"], system, bytes));
  } catch (error) {
    if (error instanceof MigrationError && error.code === "program-failed") return [];
    throw error;
  }
}

function mustBeFit({ state, canEncrypt, encryptsUntil, fingerprints }: ListedKey, origin: string): void {
  if (canEncrypt) return;
  const what = origin.includes(fingerprints[0]!) ? origin : `${origin}: the key ${fingerprints[0]!}`;
  if (state === "expired") {
    const when = encryptsUntil === undefined ? "" : ` on ${day(encryptsUntil)}`;
    throw unusable(`${what} expired${when}`, `ask its owner for the renewed key: ${EXPORT}`);
  }
  if (state === "usable") {
    throw unusable(
      `${what} has no encryption subkey`,
      "its owner can add one: gpg --quick-add-key FINGERPRINT",
    );
  }
  const how = state === "invalid" ? "is not valid" : `is ${state}`;
  throw unusable(`${what} ${how}`, "ask the recipient for their current key");
}

/** Imports a key into the temporary gpg home and encrypts to it once, so that a failure shows now and not later. */
async function taken(key: ListedKey, bytes: Uint8Array, origin: string, system: System): Promise<ListedKey> {
  const fingerprint = key.fingerprints[0]!;
  try {
    await ask(["--import"], system, bytes);
    const args = ["--trust-model", "always", "--no-encrypt-to", "--recipient", fingerprint, "--encrypt"];
    await ask(args, system, Buffer.from("a trial"));
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code !== "program-failed") throw error;
    throw unusable(`${origin}: gpg cannot encrypt to ${fingerprint}: ${error.message}`, EXPORT, error);
  }
  return key;
}

/** Public keys need no agent and no secret. */
async function ask(args: readonly string[], { gpg }: System, input: Uint8Array): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of gpg(args, undefined, Readable.from([input]))) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function finding({ fingerprints, name, encryptsUntil }: ListedKey, now: number): Finding {
  const who = `${name === "" ? "somebody" : name} (${fingerprints[0]!})`;
  if (encryptsUntil === undefined || encryptsUntil - now > SOON) {
    return { id: "recipient", level: "ok", sentence: `${who} can open the bundle` };
  }
  return {
    id: "recipient-expiring",
    level: "warning",
    sentence: `the key of ${who} expires on ${day(encryptsUntil)}`,
    hint: "an encrypted bundle stays readable, but an export that runs again after that day fails: ask for a renewed key",
  };
}

const EXPORT = "its owner creates the file with: gpg --armor --export FINGERPRINT > key.asc";

const day = (moment: number) => new Date(moment).toISOString().slice(0, 10);

const unusable = (sentence: string, hint: string, cause?: unknown) =>
  new MigrationError("recipient-key-invalid", sentence, { hint, cause });
