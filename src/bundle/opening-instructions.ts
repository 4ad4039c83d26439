import { CHECKSUMS, INVENTORY } from "./layout.ts";
import { type Artifact, bundleTime, type Manifest } from "./manifest.ts";

/** The text of OPENING.txt: how to open the bundle by hand with standard programs. `afterwards` is what to do then. */
export function openingInstructions(manifest: Omit<Manifest, "inventory">, afterwards: string): string {
  const { subject, program, rehearsal, artifacts, recipients } = manifest;
  const decrypt = recipients ? "gpg -d" : "gpg --batch --passphrase-file P -d";
  return `This is ${subject}, packed by ${program} on ${bundleTime(manifest)}.
${
  rehearsal
    ? `
IT IS A REHEARSAL: it was made while the server was running. Anything written
to the server afterwards is missing. Never put it into service.
`
    : ""
}
Only ${programsFor(artifacts)} are needed to open it.
${recipients ? withSecretKey(recipients) : WITH_PASSPHRASE}
  bash
  set -o pipefail
  umask 077

Stop at the first command that reports an error.

1. Verify that all files are complete and intact:

  sha256sum -c ${CHECKSUMS}
${artifacts.map((artifact, index) => `\n${index + 2}. ${howTo(artifact, decrypt)}`).join("\n")}

${artifacts.length + 2}. What was counted at the source (JSON):

  ${decrypt} ${INVENTORY}

${afterwards}`;
}

function programsFor(artifacts: readonly Artifact[]): string {
  const has = (format: Artifact["format"]) => artifacts.some((artifact) => artifact.format === format);
  if (has("pg-custom")) return "sha256sum, cat, gpg, gunzip, tar, pg_restore and psql";
  if (has("sql")) return "sha256sum, cat, gpg, gunzip, tar and psql";
  return "sha256sum, cat, gpg and tar (sqlite3 for a database that is a file)";
}

const WITH_PASSPHRASE = `Put the passphrase into a file P that only you can read (chmod 600 P), in bash:
`;

const withSecretKey = (
  recipients: readonly string[],
) => `One of these keys opens it. Its secret key must be in the keyring of your
account (gpg --list-secret-keys):

${recipients.map((fingerprint) => `  ${fingerprint}\n`).join("")}
If gpg asks for a passphrase "for symmetric encryption", it has found no such
key. That passphrase was used only during the export and no longer exists.
In bash:
`;

function howTo({ name, format, parts }: Artifact, decrypt: string): string {
  const source = parts.length === 1 && parts[0]!.name === name ? "" : `cat ${name}.part-* | `;
  const open = `${source}${decrypt}${source === "" ? ` ${name}` : ""}`;
  if (format === "tar") return `${name}, into the folder you are in:\n\n  ${open} | tar -xzf -`;
  const create =
    "createdb --encoding=UTF8 --locale=C --locale-provider=libc \\\n    --template=template0 --owner=OWNER NAME";
  if (format === "pg-custom")
    return `${name}, into a new, empty database: the first command as
PostgreSQL's administrator (cd /; su postgres), the third asks for OWNER's password.
The second writes the dump unencrypted; -j is the number of parallel
connections. If pg_restore fails, drop the database before you try again.
${OLDER}

  ${create}
  ${open} | gunzip > NAME.dump
  pg_restore -j 4 --exit-on-error --no-owner --no-privileges \\
    -h 127.0.0.1 -U OWNER -d NAME NAME.dump
  rm NAME.dump`;
  return `${name}, into a new, empty database: the first command as
PostgreSQL's administrator (cd /; su postgres), the second asks for OWNER's password.
${OLDER}

  ${create}
  ${open} | gunzip \\
    | psql -X -v ON_ERROR_STOP=1 --single-transaction -h 127.0.0.1 -U OWNER -d NAME`;
}

/** From 15 on, a cluster may sort by ICU unless it is told otherwise. */
const OLDER = "PostgreSQL 14 and older have no --locale-provider: leave it out there:";
