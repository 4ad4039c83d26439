import type { Manifest } from "../../bundle/manifest.ts";
import { sealedBefore, type Wanted } from "../../bundle/sealed-before.ts";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Progress } from "../../system/progress.ts";

/**
 * The same export once more, of a bundle that was sealed for recipients: nothing is left to do, unless the server ran
 * again in between. Undefined when nothing is sealed there. Throws `source-changed`, and as `sealedBefore` does.
 */
export async function sealedAgain(
  wanted: Wanted,
  marker: string,
  files: Files,
  progress: Progress,
): Promise<{ manifest: Manifest; finding: Finding } | undefined> {
  const before = await sealedBefore(wanted, files, progress);
  if (!before) return undefined;
  const { manifest, folder } = before.bundle;
  // A server that serves writes all the time: of a rehearsal that says nothing.
  const dumped = before.journal.steps["export/database"]?.inputs["database"];
  if (!manifest.rehearsal && dumped !== undefined && dumped !== marker) {
    throw new MigrationError(
      "source-changed",
      `${folder} is sealed for its recipients, and the database of ${manifest.subject} was written to since`,
      {
        hint: "what is sealed cannot be gone on with: remove the folder or choose another, and export again",
      },
    );
  }
  return {
    manifest,
    finding: {
      id: "sealed-already",
      level: "note",
      sentence: `${folder} was sealed for its recipients by an earlier run, is whole, and was left as it is`,
      hint: "to pack again, choose another folder or remove this one",
    },
  };
}
