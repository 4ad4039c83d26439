import { dirname, join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Journal } from "../journal/journal.ts";
import type { Lock } from "../pipeline/encrypt.ts";
import type { Files } from "../system/files/files.ts";
import type { Progress } from "../system/progress.ts";
import type { System } from "../system/system.ts";
import { JOURNAL } from "./layout.ts";
import { makePassphrase, passphraseFor, type PassphraseSource } from "./passphrase.ts";

/**
 * Where the working passphrase of a bundle for recipients is kept while it is made: a run reads back what it wrote, and
 * the next one goes on with it, without anybody's secret key. Beside the bundle's folder, never in it.
 */
export const workingPassphraseFileOf = (folder: string) => `${folder}.working-passphrase`;

/**
 * The lock of a bundle that is being made: with a passphrase, or, where there are recipients, with their keys and a
 * passphrase that lives no longer than the making. Throws as `passphraseFor` does, and `bad-usage` for both at once.
 */
export async function lockToMake(
  folder: string,
  given: { readonly source: PassphraseSource; readonly recipients: readonly string[] },
  system: System,
  progress: Pick<Progress, "note">,
): Promise<Lock> {
  const { gpg } = system;
  mustBeOneWay(given);
  const { source, recipients } = given;
  // Before a file is made that nobody would need.
  mustOpenAsBefore(folder, recipients, await Journal.read(join(folder, JOURNAL), system.files));
  if (recipients.length === 0) {
    const passphrase = await passphraseFor(folder, source, system, (sentence) => {
      progress.note(sentence);
    });
    return { gpg, passphrase };
  }
  return { gpg, passphrase: await workingPassphrase(folder, system), recipients };
}

/** Throws `bad-usage`: a bundle that a passphrase opens, too, is not one that only its recipients can open. */
export function mustBeOneWay({
  source,
  recipients,
}: {
  readonly source: PassphraseSource;
  readonly recipients: readonly string[];
}): void {
  if (recipients.length === 0 || Object.values(source).every((one) => one === undefined)) return;
  throw new MigrationError("bad-usage", "a bundle is for its recipients or for a passphrase, not for both", {
    hint: "leave out --recipient, or the passphrase: a bundle for recipients needs none",
  });
}

/** The fact in a bundle's journal that says with what it is opened. */
export const OPENS = "opens";

/**
 * What such a bundle is opened with. One that somebody's passphrase opens never becomes one for recipients, nor the
 * other way round: throws `bundle-foreign`.
 */
export function mustOpenAsBefore(
  folder: string,
  recipients: readonly string[],
  journal: Journal | undefined,
): string {
  const passphrase = "a passphrase";
  const way = recipients.length > 0 ? "the secret keys of recipients" : passphrase;
  const earlier = journal ? (journal.facts[OPENS] ?? passphrase) : way;
  if (earlier === way) return way;
  throw new MigrationError("bundle-foreign", `${folder} was begun to be opened with ${earlier}, not ${way}`, {
    hint: "choose another folder, or give what it was begun with",
  });
}

async function workingPassphrase(folder: string, { files, machine }: System): Promise<string> {
  const path = workingPassphraseFileOf(folder);
  if (await files.look(path)) {
    const kept = (await files.readText(path)).trimEnd();
    // Anything else is not what we wrote.
    if (/^[A-Za-z0-9]{64}$/.test(kept)) return kept;
  }
  const made = makePassphrase((bytes) => machine.random(bytes));
  await files.makeFolder(dirname(path));
  await files.writeWhole(path, `${made}\n`);
  return made;
}

/** Once a bundle is sealed: from here on its recipients alone can open it. May be called twice. */
export async function dropWorkingPassphrase(folder: string, files: Files): Promise<void> {
  const path = workingPassphraseFileOf(folder);
  if (!(await files.look(path))) return;
  await files.remove(path);
  await files.syncFolder(dirname(path));
}
