import { rmSync } from "node:fs";
import { MigrationError, reasonOf } from "../../errors.ts";
import type { ExitStatus, Gpg, Programs } from "../programs/programs.ts";
import { STATUS_ARGUMENTS, withGpgFault } from "./status.ts";
import { type HomeOwner, makeTemporaryHome } from "./temporary-home.ts";

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
  ...STATUS_ARGUMENTS,
];

/** With `owner`, homes that killed runs left in `temporary` are removed, and this one is known as its own. */
export function ownGpg(programs: Programs, temporary: string, owner?: HomeOwner): OwnGpg {
  let home: string | undefined;
  return {
    gpg: (args, passphrase, source) => {
      home ??= makeTemporaryHome(temporary, owner);
      return programs.pipe(
        {
          name: "gpg",
          args: ["--homedir", home, ...ALWAYS, ...args],
          secret: passphrase ?? "",
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

/** Whether gpg reported a damaged or truncated message, not another problem with the same exit code 2 (gpg(1)). */
export const isGpgDamageError = (error: unknown) => reasonOf(error, "gnupg")?.fault === "damaged";

function explainGpgError(original: MigrationError, ended: ExitStatus): MigrationError {
  const failure = withGpgFault(original, ended);
  if (reasonOf(failure, "gnupg")?.fault !== "passphrase") return failure;
  return new MigrationError("passphrase-wrong", "the passphrase does not open this bundle", {
    hint: "give the passphrase that was shown or written to a file during the export",
    cause: failure,
    reason: failure.reason,
  });
}
