import { chmodSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { EncryptionKeys } from "../../src/pipeline/encrypt.ts";
import { ownGpg } from "../../src/system/gpg/gpg.ts";
import { type Programs, realPrograms } from "../../src/system/programs/programs.ts";
import { postgresPrograms } from "./lab/postgres-cluster.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";

/**
 * Where programs are looked for: PostgreSQL's own before those of this name that Debian puts into the PATH. These are one
 * Perl script, which looks for a cluster of this host and takes longer than psql itself; test/e2e goes by them.
 */
export const SEARCHED = [postgresPrograms(), process.env["PATH"]].filter(Boolean).join(delimiter);

/** Real programs, with an environment and a signal of the test's own. */
export function programsWith(
  env: Readonly<Record<string, string>> = {},
  signal: AbortSignal = new AbortController().signal,
): Programs {
  return realPrograms({ PATH: SEARCHED, HOME: process.env["HOME"], ...env }, signal);
}

/** Real programs, among which those of `scripts` (name → shell script) are found first. */
export function programsBefore(scripts: Readonly<Record<string, string>>): Programs {
  return programsWith({ PATH: [scriptsIn(scripts), SEARCHED].join(delimiter) });
}

/** A folder of small shell scripts that can be run. */
export function scriptsIn(scripts: Readonly<Record<string, string>>): string {
  const folder = temporaryFolder("scripts");
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

export const PASSPHRASE = "correct horse battery staple / 'ünd' \"more\"";

/** gpg's work on a passphrase is slow on purpose. Here it is the same work, less often: a message holds how often. */
export const QUICK_GPG =
  'for a; do shift; [ "$a" = 65011712 ] && a=65536; set -- "$@" "$a"; done; exec /usr/bin/gpg "$@"';

/** A real gpg, whose homes go away with the test process; quicker than life unless programs are given. */
export function lockWith(
  passphrase = PASSPHRASE,
  programs: Programs = programsBefore({ gpg: QUICK_GPG }),
): EncryptionKeys {
  return { gpg: ownGpg(programs, temporaryFolder("gpg-homes")).gpg, passphrase };
}
