import { dirname, join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Journal } from "../journal/journal.ts";
import type { EncryptionKeys } from "../pipeline/encrypt.ts";
import type { Files } from "../system/files/files.ts";
import type { Progress } from "../system/progress.ts";
import type { System } from "../system/system.ts";
import { JOURNAL } from "./layout.ts";
import { generatePassphrase, isGenerated, passphraseForExport, type PassphraseSource } from "./passphrase.ts";

/**
 * The file with the working passphrase of a bundle for recipients during the export. With it a run can read back what
 * it wrote and a later run can resume, without a secret key. It is next to the bundle's folder, never in it.
 */
export const workingPassphraseFileOf = (folder: string) => `${folder}.working-passphrase`;

/**
 * The keys for an export: a passphrase, or the recipients' public keys and a temporary passphrase that is removed when
 * the bundle is sealed. Throws as `passphraseForExport` does, and `bad-usage` when both are given.
 */
export async function keysForExport(
  folder: string,
  given: { readonly source: PassphraseSource; readonly recipients: readonly string[] },
  system: System,
  progress: Pick<Progress, "note">,
): Promise<EncryptionKeys> {
  const { gpg } = system;
  assertOneKeyKind(given);
  const { source, recipients } = given;
  // Checked first, so that no unneeded passphrase file is written.
  assertSameKeyKind(folder, recipients, await Journal.read(join(folder, JOURNAL), system.files));
  if (recipients.length === 0) {
    const own = await passphraseForExport(folder, source, system, (sentence) => {
      progress.note(sentence);
    });
    return { gpg, ...own };
  }
  return { gpg, passphrase: await workingPassphrase(folder, system), recipients, isRandom: true };
}

/** Throws `bad-usage` when both are given: with a passphrase, others than the recipients could open the bundle. */
export function assertOneKeyKind({
  source,
  recipients,
}: {
  readonly source: PassphraseSource;
  readonly recipients: readonly string[];
}): void {
  const { file, descriptor, command } = source;
  if (recipients.length === 0 || [file, descriptor, command].every((one) => one === undefined)) return;
  throw new MigrationError("bad-usage", "--recipient cannot be combined with a passphrase", {
    hint: "give either --recipient or a passphrase: a bundle for recipients needs none",
  });
}

/** The journal fact that records what the bundle is opened with. */
export const OPENED_WITH = "opens";

/**
 * What the bundle is opened with. An export cannot be resumed with the other kind of key: throws `bundle-mismatch`.
 */
export function assertSameKeyKind(
  folder: string,
  recipients: readonly string[],
  journal: Journal | undefined,
): string {
  const passphrase = "a passphrase";
  const way = recipients.length > 0 ? "the secret keys of recipients" : passphrase;
  const earlier = journal ? (journal.facts[OPENED_WITH] ?? passphrase) : way;
  if (earlier === way) return way;
  throw new MigrationError(
    "bundle-mismatch",
    `the export in ${folder} was started for ${earlier}, not for ${way}`,
    {
      hint: "choose another folder, or use the same kind of key as before",
    },
  );
}

async function workingPassphrase(folder: string, { files, machine }: System): Promise<string> {
  const path = workingPassphraseFileOf(folder);
  if (await files.lstat(path)) {
    const kept = (await files.readText(path)).trimEnd();
    if (isGenerated(kept)) return kept;
  }
  const made = generatePassphrase((bytes) => machine.random(bytes));
  await files.makeFolder(dirname(path));
  await files.writeAtomically(path, `${made}\n`);
  return made;
}

/** Called after a bundle is sealed: from then on only its recipients can open it. May be called twice. */
export async function removeWorkingPassphrase(folder: string, files: Files): Promise<void> {
  const path = workingPassphraseFileOf(folder);
  if (!(await files.lstat(path))) return;
  await files.remove(path);
  await files.syncFolder(dirname(path));
}
