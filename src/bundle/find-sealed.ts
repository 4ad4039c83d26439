import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Journal } from "../journal/journal.ts";
import type { Files } from "../system/files/files.ts";
import type { Progress } from "../system/progress.ts";
import { workingPassphraseFileOf } from "./export-keys.ts";
import { JOURNAL, MANIFEST } from "./layout.ts";
import { Bundle } from "./reader.ts";
import { assertUndamaged, verifyParts } from "./verify.ts";

export interface WantedBundle {
  readonly folder: string;
  readonly subject: string;
  readonly rehearsal: boolean;
  readonly recipients: readonly string[];
  /** The parts were sent to another place as they were made, and are not compared here. */
  readonly partsAreElsewhere?: boolean;
}

/**
 * The bundle for recipients that was already sealed in this folder, if there is one. This host cannot open it any more,
 * so an export cannot continue with it: an intact one is returned unchanged, anything else is an error.
 * Throws `bundle-mismatch` when it is not the wanted bundle, `bundle-damaged` when it is not intact.
 */
export async function findSealedBundle(
  wanted: WantedBundle,
  files: Files,
  progress: Progress,
): Promise<{ bundle: Bundle; journal: Journal } | undefined> {
  const { folder, subject, rehearsal, recipients } = wanted;
  if (await files.lstat(workingPassphraseFileOf(folder))) return undefined;
  if (!(await files.lstat(join(folder, MANIFEST)))) return undefined;
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
      "bundle-mismatch",
      `${folder} already contains a sealed bundle: ${kind}${manifest.subject}, for ${manifest.recipients.join(", ")}`,
      { hint: "choose another folder, or remove this one" },
    );
  }
  if (wanted.partsAreElsewhere !== true) assertUndamaged(await verifyParts(bundle, files, progress));
  return { bundle, journal: await Journal.open(join(folder, JOURNAL), files) };
}
