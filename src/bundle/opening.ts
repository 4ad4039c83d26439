import { CHECKSUMS, INVENTORY } from "./layout.ts";
import type { Artifact, Manifest } from "./manifest.ts";

/** How to open a bundle by hand, with plain programs: the text that lies in it. */
export function openingText(manifest: Manifest): string {
  const { subject, created, program, rehearsal, artifacts } = manifest;
  return `This is the homeserver ${subject}, packed by ${program} on ${created}.
${
  rehearsal
    ? `
IT IS A REHEARSAL: it was made while the server went on running. Whatever was
written there afterwards is not in it. Never open it to people for good.
`
    : ""
}
Nothing but sha256sum, cat, gpg, gunzip, tar and psql is needed to open it.
Put the passphrase into a file P that only you can read (chmod 600 P), in bash:

  set -euo pipefail
  umask 077

1. Is everything there and unhurt?

  sha256sum -c ${CHECKSUMS}
${artifacts.map((artifact, index) => `\n${index + 2}. ${howTo(artifact)}`).join("\n")}

${artifacts.length + 2}. What was counted at the source (JSON):

  gpg --batch --passphrase-file P -d ${INVENTORY}

Then, before the new server is started:
- The signing key must be in place, at signing_key_path. Without it Synapse makes
  a new one without a word, and other servers no longer believe this one.
- The table e2e_one_time_keys_json must be empty. It is: its rows were left out
  of the dump on purpose, as used keys that come back break encrypted messages.
- Only local media is in the bundle. Rows about remote media and about URL
  previews have no file here; remove them, or they answer 404 for ever:

    DELETE FROM remote_media_cache_thumbnails t WHERE NOT EXISTS (
      SELECT FROM remote_media_cache r WHERE r.media_origin = t.media_origin
      AND r.media_id = t.media_id AND r.quarantined_by IS NOT NULL);
    DELETE FROM remote_media_cache WHERE quarantined_by IS NULL;
    DELETE FROM local_media_repository_url_cache;
    DELETE FROM local_media_repository_thumbnails WHERE media_id IN (
      SELECT media_id FROM local_media_repository WHERE url_cache IS NOT NULL);
    DELETE FROM local_media_repository WHERE url_cache IS NOT NULL;

- The old server must never be started again.
`;
}

function howTo({ name, format, parts }: Artifact): string {
  const source = parts.length === 1 && parts[0]!.name === name ? "" : `cat ${name}.part-* | `;
  const open = `${source}gpg --batch --passphrase-file P -d${source === "" ? ` ${name}` : ""}`;
  if (format === "tar") return `${name}, into the folder you are in:\n\n  ${open} | tar -xzf -`;
  return `${name}, into a new, empty database:\n
  createdb --encoding=UTF8 --locale=C --template=template0 --owner=OWNER NAME
  ${open} | gunzip \\
    | psql -X -v ON_ERROR_STOP=1 --single-transaction -U OWNER -d NAME`;
}
