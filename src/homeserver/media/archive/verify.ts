import type { Inventory } from "../../../bundle/inventory.ts";
import { encryptedName } from "../../../bundle/layout.ts";
import type { Bundle } from "../../../bundle/reader.ts";
import { MigrationError } from "../../../errors.ts";
import { reportBytes } from "../../../pipeline/digest.ts";
import type { EncryptionKeys } from "../../../pipeline/encrypt.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Progress } from "../../../system/progress.ts";
import { archiveArtifact } from "./names.ts";
import { findManifest, readArchive } from "./read.ts";
import { assertUploadsIntact, findingsOf } from "./restore.ts";
import { packedArchives } from "./section.ts";
import { archiveInTar } from "./source.ts";

/** The media archives in a bundle, by their names in the manifest: `checkArchives` looks into those. */
export const archivesIn = (inventory: Inventory): ReadonlySet<string> =>
  new Set(packedArchives(inventory).map(({ folder }) => encryptedName(archiveArtifact(folder))));

/** Reads each media archive in a bundle as its importer would, and stricter. Writes nothing. */
export async function checkArchives(
  bundle: Bundle,
  inventory: Inventory,
  lock: EncryptionKeys,
  progress: Progress,
): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const { folder, records } of packedArchives(inventory)) {
    const name = encryptedName(archiveArtifact(folder));
    const artifact = bundle.artifact(archiveArtifact(folder));
    const recorded = inventory.artifacts.find((one) => one.name === name);
    if (!artifact || !recorded) continue;
    const id = `check/${name}`;
    // For its manifest, and for its uploads.
    progress.begin({ id, label: name, unit: "bytes", total: 2 * recorded.plain.size });
    const tell = reportBytes((bytes) => {
      progress.advance(id, bytes);
    });
    const source = archiveInTar(() => tell(bundle.decrypted(artifact, lock, recorded.plain)), name);
    try {
      const manifest = await findManifest(source);
      const read = await readArchive(source, manifest, () => Promise.resolve(undefined));
      assertUploadsIntact(source, read);
      found.push(...findingsOf(source, manifest, read));
      if (manifest.records !== records) found.push(otherCount(name, manifest.records, records));
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      if (error.code !== "bundle-damaged" && error.code !== "archive-damaged") throw error;
      found.push({ id: "contents", level: "blocker", sentence: error.message, hint: HINT });
    }
    progress.end(id);
  }
  return found;
}

const HINT = "copy it again from where the bundle was made; if it is damaged there too, run the export again";

const otherCount = (name: string, found: number, packed: number): Finding => ({
  id: "contents",
  level: "blocker",
  sentence: `${name} has ${found} records, ${packed} were packed`,
  hint: HINT,
});
