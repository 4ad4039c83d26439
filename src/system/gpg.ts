import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { MigrationError, reasonOf } from "../errors.ts";
import type { Ending } from "./call.ts";
import { STATUS, withFault } from "./gpg-status.ts";
import type { Gpg, Programs } from "./programs.ts";

/** gpg in a home of its own, without an agent: it never sees a person's keys, and a stuck agent never matters. */
export interface OwnGpg {
  readonly gpg: Gpg;
  /** Removes the home. May be called twice. */
  close(): void;
}

/**
 * `--s2k-count` is given because gpg would otherwise ask an agent to measure one, and would fail without
 * an agent although the message is good (seen with 2.2.40).
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
  ...STATUS,
];

export function ownGpg(programs: Programs, temporary: string): OwnGpg {
  let home: string | undefined;
  return {
    gpg: (args, passphrase, source) => {
      home ??= makeHome(temporary);
      return programs.through(
        {
          name: "gpg",
          args: ["--homedir", home, ...ALWAYS, ...args],
          secret: passphrase ?? "",
          env: { LC_ALL: "C" },
          explain: explained,
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
      `no temporary folder can be made in ${temporary}: ${(error as Error).message}`,
      {
        hint: "name another one: TMPDIR=/var/tmp",
        cause: error,
      },
    );
  }
}

/** Whether this is gpg's word that the message is damaged or was cut off, and not that it could not work here (gpg(1): 2 for all). */
export const saysDamaged = (error: unknown) => reasonOf(error, "gnupg")?.fault === "damaged";

function explained(plain: MigrationError, ending: Ending): MigrationError {
  const failure = withFault(plain, ending);
  if (reasonOf(failure, "gnupg")?.fault !== "passphrase") return failure;
  return new MigrationError("passphrase-wrong", "the passphrase does not open this bundle", {
    hint: "give the passphrase that was shown, or written to a file, when the bundle was made",
    cause: failure,
    reason: failure.reason,
  });
}
