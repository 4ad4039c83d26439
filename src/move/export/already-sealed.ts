import { findSealedBundle, type WantedBundle } from "../../bundle/find-sealed.ts";
import type { Manifest } from "../../bundle/manifest.ts";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Progress } from "../../system/progress.ts";

/**
 * A repeated export into a bundle that is already sealed for recipients: nothing is left to do, unless the server has run
 * since. Undefined when nothing is sealed there. Throws `source-changed`, and what `findSealedBundle` throws.
 */
export async function findAlreadySealed(
  wanted: WantedBundle,
  marker: string,
  files: Files,
  progress: Progress,
): Promise<{ manifest: Manifest; finding: Finding } | undefined> {
  const before = await findSealedBundle(wanted, files, progress);
  if (!before) return undefined;
  const { manifest, folder } = before.bundle;
  // A running server writes all the time, so this says nothing about a rehearsal.
  const dumped = before.journal.steps["export/database"]?.inputs["database"];
  if (!manifest.rehearsal && dumped !== undefined && dumped !== marker) {
    throw new MigrationError(
      "source-changed",
      `${folder} is sealed for its recipients, and the database of ${manifest.subject} was written to since`,
      {
        hint: "a sealed bundle cannot be continued: remove the folder or choose another, and export again",
      },
    );
  }
  return {
    manifest,
    finding: {
      id: "already-sealed",
      level: "note",
      sentence: `${folder} was sealed for its recipients by an earlier run, is intact, and was not changed`,
      hint: "to pack again, choose another folder or remove this one",
    },
  };
}
