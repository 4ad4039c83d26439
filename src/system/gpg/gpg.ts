import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Gpg, Programs } from "../programs/programs.ts";

/** gpg with a temporary home and without an agent, independent of the user's keys and agent. */
export interface OwnGpg {
  readonly gpg: Gpg;
  /** Removes the home. May be called twice. */
  close(): void;
}

/**
 * Without `--s2k-count` gpg asks the agent for a value and fails when there is no agent, even for a valid message
 * (seen with 2.2.40).
 */
const ALWAYS = [
  "--batch",
  "--no-tty",
  "--quiet",
  "--no-options",
  "--no-autostart",
  "--pinentry-mode",
  "loopback",
  "--no-symkey-cache",
  "--s2k-count",
  "65011712",
  "--passphrase-fd",
  "3",
];

export function ownGpg(programs: Programs, temporary: string): OwnGpg {
  let home: string | undefined;
  return {
    gpg: (args, passphrase, source) => {
      home ??= makeHome(temporary);
      return programs.pipe(
        {
          name: "gpg",
          args: ["--homedir", home, ...ALWAYS, ...args],
          secret: passphrase ?? "",
          // Its messages are parsed below.
          env: { LC_ALL: "C" },
          mapError: explainGpgError,
        },
        source,
      );
    },
    close() {
      if (home) rmSync(home, { recursive: true, force: true });
      home = undefined;
    },
  };
}

function makeHome(temporary: string): string {
  try {
    return mkdtempSync(join(temporary, "synlift-gpg-"));
  } catch (error) {
    throw new MigrationError(
      "file-failed",
      `cannot create a temporary folder in ${temporary}: ${(error as Error).message}`,
      {
        hint: "set another folder: TMPDIR=/var/tmp",
        cause: error,
      },
    );
  }
}

/** Whether gpg reported a damaged or truncated message, not another problem with the same exit code 2 (gpg(1)). */
export const isGpgDamageError = (error: unknown) =>
  error instanceof MigrationError &&
  error.message.startsWith("gpg failed with exit code 2") &&
  !/No space left|can't (?:create|open)|Permission denied|error (?:writing|creating)/i.test(error.message);

/** "Bad session key" is gpg's message for a wrong passphrase of a symmetrically encrypted message. */
function explainGpgError(failure: MigrationError): MigrationError {
  if (!/Bad session key|bad passphrase/i.test(failure.message)) return failure;
  return new MigrationError("passphrase-wrong", "the passphrase does not open this bundle", {
    hint: "give the passphrase that was shown or written to a file during the export",
    cause: failure,
  });
}
