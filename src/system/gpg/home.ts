import { join } from "node:path";
import { MigrationError, reasonOf } from "../../errors.ts";
import type { Files } from "../files/files.ts";
import type { ExitStatus, Gpg, ProgramCall, Programs } from "../programs/programs.ts";
import { quoteShellWord } from "../shell-quoting.ts";
import { type ListedKey, parseListing } from "./listing.ts";
import { STATUS_ARGUMENTS, withGpgFault } from "./status.ts";

/** Time-out of gpg lookups in milliseconds; a hung agent would block them for ever. */
const LIMIT = 30_000;

/** Its messages are shown among ours, so they are in English. */
const ENGLISH = { LC_ALL: "C" };

const QUIETLY = ["--batch", "--no-tty", "--quiet"];

/**
 * gpg with the keys of a home that the user named, and with the user's agent and its prompts. With a passphrase gpg
 * passes it to the agent, and there is no prompt.
 * Throws `secret-key-unusable` when the session key cannot be decrypted, and otherwise as `Gpg` does.
 */
export function gpgWithHome(home: string, programs: Programs): Gpg {
  return (args, passphrase, source) => {
    const given = passphrase === undefined ? [] : ["--pinentry-mode", "loopback", "--passphrase-fd", "3"];
    const call: ProgramCall = {
      name: "gpg",
      args: ["--homedir", home, ...QUIETLY, ...STATUS_ARGUMENTS, ...given, ...args],
      env: ENGLISH,
      mapError: (failure, ended) => explainGpgError(failure, ended, home),
    };
    return programs.pipe(passphrase === undefined ? call : { ...call, secret: passphrase }, source);
  };
}

/** The secret keys in a gpg home. Throws `file-missing`, `secret-key-unusable`. */
export async function listSecretKeys(home: string, files: Files, programs: Programs): Promise<ListedKey[]> {
  if ((await files.stat(home))?.kind !== "folder") {
    throw new MigrationError("file-missing", `the folder ${home} does not exist`, {
      hint: "--gpg-home is the gpg home with the secret key, such as ~/.gnupg",
    });
  }
  const args = ["--homedir", home, ...QUIETLY, "--no-auto-check-trustdb", "--with-colons"];
  try {
    const call = { name: "gpg", args: [...args, "--list-secret-keys"], env: ENGLISH, timeout: LIMIT };
    return parseListing(await programs.run(call));
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code !== "program-failed") throw error;
    throw new MigrationError(
      "secret-key-unusable",
      `the secret keys in ${home} cannot be listed: ${error.message}`,
      {
        hint: `check that this works with the same account: gpg --homedir ${quoteShellWord(home)} --list-secret-keys`,
        cause: error,
      },
    );
  }
}

/** A public key from the user's keyring, ASCII-armored; undefined when there is none. Read-only, without an agent. */
export async function findPublicKey(
  fingerprint: string,
  files: Files,
  programs: Programs,
): Promise<{ listed: ListedKey; armoured: string } | undefined> {
  const home = (
    await programs.run({ name: "gpgconf", args: ["--list-dirs", "homedir"], env: ENGLISH, timeout: LIMIT })
  ).trim();
  // gpg would create a missing keyring.
  const keyrings = ["pubring.kbx", "pubring.gpg", "public-keys.d"].map((name) =>
    files.stat(join(home, name)),
  );
  if ((await Promise.all(keyrings)).every((found) => found === undefined)) return undefined;
  const args = [...QUIETLY, "--no-autostart", "--lock-never", "--no-auto-check-trustdb"];
  const ask = (...more: string[]) =>
    programs.run({ name: "gpg", args: [...args, ...more], env: ENGLISH, timeout: LIMIT });
  // gpg fails when there is no such key, so all keys are listed.
  const all = parseListing(await ask("--with-colons", "--list-keys"));
  const listed = all.find(({ fingerprints }) => fingerprints.includes(fingerprint));
  return listed && { listed, armoured: await ask("--armor", "--export", listed.fingerprints[0]!) };
}

function explainGpgError(original: MigrationError, ended: ExitStatus, home: string): MigrationError {
  const failure = withGpgFault(original, ended);
  const fault = reasonOf(failure, "gnupg")?.fault;
  if (fault !== "secret-key" && fault !== "passphrase") return failure;
  return new MigrationError(
    "secret-key-unusable",
    `gpg cannot decrypt with the secret keys in ${home}: ${failure.message}`,
    {
      hint: "the passphrase of the key may be missing or wrong: give it with --passphrase-file, or unlock the key in the agent first",
      cause: failure,
      reason: failure.reason,
    },
  );
}
