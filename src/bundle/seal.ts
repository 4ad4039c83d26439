import { join } from "node:path";
import type { Lock } from "../pipeline/encrypt.ts";
import { Tally } from "../pipeline/measure.ts";
import type { Files } from "../system/files/files.ts";
import type { Inventory } from "./inventory.ts";
import { CHECKSUMS, INVENTORY, MANIFEST, OPENING } from "./layout.ts";
import { type Manifest, versionFor } from "./manifest.ts";
import { openingText } from "./opening.ts";

export interface Sealing {
  readonly folder: string;
  readonly inventory: Inventory;
  readonly lock: Lock;
  readonly files: Files;
  readonly subject: string;
  /** "synlift 0.1.0". */
  readonly program: string;
  readonly outageSince: string | null;
  /** Milliseconds since the epoch: tells this bundle from one that lay in the same folder before. */
  readonly now?: number;
  /** For those who open it by hand: what to do then. */
  readonly afterwards: string;
}

/**
 * Makes a bundle of finished artifacts. Cheap, so never remembered: it is done at the end of every run, and sees
 * every artifact each time. The manifest comes last; without it there is no bundle.
 */
export async function seal({
  folder,
  inventory,
  lock,
  files,
  subject,
  program,
  outageSince,
  now,
  afterwards,
}: Sealing): Promise<Manifest> {
  const recipients = lock.recipients?.length ? [...lock.recipients] : undefined;
  const sealed = now === undefined ? {} : { sealed: new Date(now).toISOString() };
  inventory.state({ subject, outageSince, ...sealed, recipients });
  const measured = await inventory.save(folder, lock, files);
  const manifest: Manifest = {
    format: "synlift-bundle",
    version: versionFor(inventory.artifacts),
    id: inventory.id,
    created: inventory.created,
    ...sealed,
    program,
    subject,
    rehearsal: inventory.rehearsal,
    outageSince,
    encryption: "openpgp-passphrase",
    ...(recipients ? { recipients } : {}),
    artifacts: inventory.artifacts.map(({ name, format, size, sha256, parts }) => ({
      name,
      format,
      size,
      sha256,
      parts,
    })),
    inventory: { name: INVENTORY, ...measured },
  };
  const opening = openingText(manifest, afterwards);
  await files.writeWhole(join(folder, OPENING), opening);
  await files.writeWhole(join(folder, CHECKSUMS), checksums(manifest, opening));
  await files.writeWhole(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** For `sha256sum -c`. The manifest can't be in it: it comes later; nor the report, which may be made again. */
function checksums(manifest: Manifest, opening: string): string {
  const text = new Tally();
  text.add(Buffer.from(opening));
  const parts = [...manifest.artifacts.flatMap((artifact) => artifact.parts), manifest.inventory];
  const lines = [...parts, { name: OPENING, ...text.result() }].map(
    ({ name, sha256 }) => `${sha256}  ${name}\n`,
  );
  return lines.join("");
}
