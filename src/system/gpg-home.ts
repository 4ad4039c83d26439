import { join } from "node:path";
import { MigrationError, reasonOf } from "../errors.ts";
import type { Ending } from "./call.ts";
import type { Files } from "./files.ts";
import { STATUS, withFault } from "./gpg-status.ts";
import { parseListing, type ListedKey } from "./gpg-listing.ts";
import type { Gpg, Programs } from "./programs.ts";
import { shellWord } from "./shell-word.ts";

/** Milliseconds in which gpg must have looked something up; an agent that is stuck keeps it for ever. */
const LIMIT = 30_000;

/** Its messages are read by us: one language, whatever the person's. */
const ENGLISH = { LC_ALL: "C" };

const QUIETLY = ["--batch", "--no-tty", "--quiet"];

/**
 * gpg in a home that a person named, with the keys that lie there. Its agent, and whatever that asks the person, are
 * the person's own; with a passphrase gpg gives that to the agent and nobody is asked.
 * Throws `secret-key-unusable` when no session key could be had, and else as `Gpg` does.
 */
export function gpgIn(home: string, programs: Programs): Gpg {
  return (args, passphrase, source) => {
    const given = passphrase === undefined ? [] : ["--pinentry-mode", "loopback", "--passphrase-fd", "3"];
    const call = {
      name: "gpg",
      args: ["--homedir", home, ...QUIETLY, ...STATUS, ...given, ...args],
      env: ENGLISH,
    };
    const secret = passphrase === undefined ? {} : { secret: passphrase };
    const explain = (failure: MigrationError, ending: Ending) => explained(failure, ending, home);
    return programs.through({ ...call, ...secret, explain }, source);
  };
}

/** The secret keys of a person's home. Throws `file-missing`, `secret-key-unusable`. */
export async function secretKeysIn(home: string, files: Files, programs: Programs): Promise<ListedKey[]> {
  if ((await files.follow(home))?.kind !== "folder") {
    throw new MigrationError("file-missing", `there is no folder ${home}`, {
      hint: "--gpg-home names the folder in which gpg keeps the secret key, such as ~/.gnupg",
    });
  }
  const args = ["--homedir", home, ...QUIETLY, "--no-auto-check-trustdb", "--with-colons"];
  try {
    const call = { name: "gpg", args: [...args, "--list-secret-keys"], env: ENGLISH, limit: LIMIT };
    return parseListing(await programs.run(call));
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code !== "program-failed") throw error;
    throw new MigrationError(
      "secret-key-unusable",
      `the secret keys in ${home} cannot be listed: ${error.message}`,
      {
        hint: `see that this works, as the same account: gpg --homedir ${shellWord(home)} --list-secret-keys`,
        cause: error,
      },
    );
  }
}

/** A public key from the person's own keyring, armoured; undefined when there is none. Reads only, and asks no agent. */
export async function publicKeyOf(
  fingerprint: string,
  files: Files,
  programs: Programs,
): Promise<{ listed: ListedKey; armoured: string } | undefined> {
  const home = (
    await programs.run({ name: "gpgconf", args: ["--list-dirs", "homedir"], env: ENGLISH, limit: LIMIT })
  ).trim();
  // gpg would make the keyring that it does not find.
  const keyrings = ["pubring.kbx", "pubring.gpg", "public-keys.d"].map((name) =>
    files.follow(join(home, name)),
  );
  if ((await Promise.all(keyrings)).every((found) => found === undefined)) return undefined;
  const args = [...QUIETLY, "--no-autostart", "--lock-never", "--no-auto-check-trustdb"];
  const ask = (...more: string[]) =>
    programs.run({ name: "gpg", args: [...args, ...more], env: ENGLISH, limit: LIMIT });
  // gpg ends with a failure when there is no such key, and lists nothing for it either.
  const all = parseListing(await ask("--with-colons", "--list-keys"));
  const listed = all.find(({ fingerprints }) => fingerprints.includes(fingerprint));
  return listed && { listed, armoured: await ask("--armor", "--export", listed.fingerprints[0]!) };
}

function explained(plain: MigrationError, ending: Ending, home: string): MigrationError {
  const failure = withFault(plain, ending);
  const fault = reasonOf(failure, "gnupg")?.fault;
  if (fault !== "secret-key" && fault !== "passphrase") return failure;
  return new MigrationError(
    "secret-key-unusable",
    `gpg could not use a secret key in ${home}: ${failure.message}`,
    {
      hint: "its passphrase may be missing or wrong: give it with --passphrase-file, or unlock the key in its agent first",
      cause: failure,
      reason: failure.reason,
    },
  );
}
