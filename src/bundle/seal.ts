import { join } from "node:path";
import { type Digest, Digester } from "../pipeline/digest.ts";
import { EncryptionAhead, type EncryptionKeys } from "../pipeline/encrypt.ts";
import type { Files } from "../system/files/files.ts";
import type { Inventory } from "./inventory.ts";
import { CHECKSUMS, INVENTORY, MANIFEST, OPENING } from "./layout.ts";
import { type Manifest, versionFor } from "./manifest.ts";
import { openingInstructions } from "./opening-instructions.ts";

export interface SealOptions {
  readonly folder: string;
  readonly inventory: Inventory;
  readonly keys: EncryptionKeys;
  /** With these keys. A new one when left out. */
  readonly encryption?: EncryptionAhead;
  readonly files: Files;
  readonly subject: string;
  /** "synlift 0.1.0". */
  readonly program: string;
  readonly outageSince: string | null;
  /** Milliseconds since 1970: distinguishes this bundle from an earlier one in the same folder. */
  readonly now?: number;
  /** For OPENING.txt: what to do after the bundle was opened by hand. */
  readonly afterwards: string;
}

/**
 * Completes a bundle of finished artifacts. It is cheap, so it is not recorded in the journal but done at the end of
 * every run. The manifest is written last; without it the bundle is incomplete.
 */
export async function seal({
  folder,
  inventory,
  keys,
  encryption = new EncryptionAhead(keys),
  files,
  subject,
  program,
  outageSince,
  now,
  afterwards,
}: SealOptions): Promise<Manifest> {
  const recipients = keys.recipients?.length ? [...keys.recipients] : undefined;
  const sealed = now === undefined ? {} : { sealed: sealedAt(now, inventory) };
  const stated = {
    format: "synlift-bundle" as const,
    version: versionFor(inventory.artifacts),
    id: inventory.id,
    created: inventory.created,
    ...sealed,
    program,
    subject,
    rehearsal: inventory.rehearsal,
    outageSince,
    encryption: "openpgp-passphrase" as const,
    ...(recipients ? { recipients } : {}),
    artifacts: inventory.artifacts.map(({ name, format, size, sha256, parts }) => ({
      name,
      format,
      size,
      sha256,
      parts,
    })),
  };
  const opening = openingInstructions(stated, afterwards);
  inventory.state({ subject, outageSince, ...sealed, recipients, opening: digestOf(opening).sha256 });
  const measured = await inventory.save(folder, encryption, files);
  const manifest: Manifest = { ...stated, inventory: { name: INVENTORY, ...measured } };
  await files.writeAtomically(join(folder, OPENING), opening);
  await files.writeAtomically(join(folder, CHECKSUMS), checksums(manifest, opening));
  await files.writeAtomically(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** For `sha256sum -c`. It cannot list the manifest, which is written later, nor the report, which may be regenerated. */
function checksums(manifest: Manifest, opening: string): string {
  const parts = [...manifest.artifacts.flatMap((artifact) => artifact.parts), manifest.inventory];
  const lines = [...parts, { name: OPENING, ...digestOf(opening) }].map(
    ({ name, sha256 }) => `${sha256}  ${name}\n`,
  );
  return lines.join("");
}

function digestOf(text: string): Digest {
  const digester = new Digester();
  digester.add(Buffer.from(text));
  return digester.result();
}

/** Later than the start of the export and than an earlier seal, also when the clock was set back since. */
function sealedAt(now: number, { created, stated }: Inventory): string {
  const before = stated?.sealed === undefined ? 0 : Date.parse(stated.sealed) + 1;
  return new Date(Math.max(now, Date.parse(created), before)).toISOString();
}
