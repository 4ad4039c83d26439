import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Journal } from "../journal/journal.ts";
import type { Files } from "../system/files/files.ts";
import type { Progress } from "../system/progress.ts";
import { checkParts, refuseDamage } from "./check.ts";
import { JOURNAL, MANIFEST } from "./layout.ts";
import { workingPassphraseFileOf } from "./making-lock.ts";
import { Bundle } from "./reader.ts";

export interface Wanted {
  readonly folder: string;
  readonly subject: string;
  readonly rehearsal: boolean;
  readonly recipients: readonly string[];
}

/**
 * The bundle that was sealed here for recipients, if there is one. Nobody on this host can open it any more, so no run
 * goes on with it: it is finished, whole, and left as it is, or it is refused.
 * Throws `bundle-foreign` when it is another than the one wanted, `bundle-damaged`.
 */
export async function sealedBefore(
  wanted: Wanted,
  files: Files,
  progress: Progress,
): Promise<{ bundle: Bundle; journal: Journal } | undefined> {
  const { folder, subject, rehearsal, recipients } = wanted;
  if (await files.look(workingPassphraseFileOf(folder))) return undefined;
  if (!(await files.look(join(folder, MANIFEST)))) return undefined;
  const bundle = await Bundle.open(folder, files);
  const { manifest } = bundle;
  if (!manifest.recipients) return undefined;
  const same =
    manifest.subject === subject &&
    manifest.rehearsal === rehearsal &&
    manifest.recipients.join() === recipients.join();
  if (!same) {
    const kind = manifest.rehearsal ? "a rehearsal of " : "";
    throw new MigrationError(
      "bundle-foreign",
      `${folder} is sealed already: ${kind}${manifest.subject}, for ${manifest.recipients.join(", ")}`,
      { hint: "choose another folder, or remove this one" },
    );
  }
  refuseDamage(await checkParts(bundle, files, progress));
  return { bundle, journal: await Journal.open(join(folder, JOURNAL), files) };
}
