import { sealedName } from "../bundle/layout.ts";
import type { Outcome, Step } from "../journal/step.ts";
import type { Files } from "../system/files.ts";
import type { Progress } from "../system/progress.ts";
import type { System } from "../system/system.ts";
import { openTarget, type DatabaseTarget } from "./database/target.ts";
import { archiveArtifact } from "./media/archive/names.ts";
import { restoreArchive } from "./media/archive/restore.ts";
import { packedArchives } from "./media/archive/section.ts";
import { archiveInTar } from "./media/archive/source.ts";
import { compareMedia } from "./media/compare.ts";
import { MEDIA_ARTIFACT } from "./media/export.ts";
import { MEDIA_SINCE_ARTIFACT } from "./media/export-since.ts";
import { restoreArchives, type MediaTarget } from "./media/restore.ts";
import type { MediaSection } from "./media/section.ts";
import { lostSince } from "./media/verify.ts";
import { shown, type Opened } from "./restore.ts";
import { sectionsOf } from "./sections.ts";

/** Unpacks the media. Run again when files are missing since. */
export function mediaStep(
  opened: Opened,
  target: MediaTarget,
  section: MediaSection,
  database: DatabaseTarget,
  system: System,
  progress: Progress,
): Step {
  const { files } = system;
  return {
    id: "restore/media",
    inputs: { bundle: opened.bundle.manifest.id, store: target.store },
    async check() {
      const session = await openTarget(database, system);
      try {
        const compared = await compareMedia(session, target.store, files, {
          hashes: false,
          tell: () => undefined,
        });
        const lost = lostSince(section, compared);
        return lost.length === 0 ? undefined : `${lost.length} files are missing`;
      } finally {
        await session.close();
      }
    },
    async run() {
      const holds = (plainName: string) =>
        opened.inventory.artifacts.some(({ name }) => name === sealedName(plainName));
      if (!holds(MEDIA_ARTIFACT)) return restoreFromArchives(opened, target, files, progress);
      // What came last first: where both archives have a file, its word counts.
      const since = holds(MEDIA_SINCE_ARTIFACT)
        ? shown(opened, MEDIA_SINCE_ARTIFACT, "media that came since", progress)
        : undefined;
      const archive = shown(opened, MEDIA_ARTIFACT, "media", progress);
      const restored = await restoreArchives(since ? [since, archive] : [archive], target, files);
      // Each file was not waited for by itself: a million small waits.
      await files.syncAll(target.store);
      return { ...restored };
    },
  };
}

/** What a bundle without a backup of the store has: uploads, of which Synapse makes new thumbnails when they are asked for. */
async function restoreFromArchives(
  opened: Opened,
  target: MediaTarget,
  files: Files,
  progress: Progress,
): Promise<Outcome> {
  const sum = { written: 0, kept: 0, bytes: 0 };
  const { serverName } = sectionsOf(opened.inventory).config;
  for (const { folder } of packedArchives(opened.inventory)) {
    const name = archiveArtifact(folder);
    const source = archiveInTar(() => shown(opened, name, folder, progress), sealedName(name));
    const restored = await restoreArchive(source, { ...target, serverName }, files);
    sum.written += restored.written;
    sum.kept += restored.kept;
    sum.bytes += restored.bytes;
  }
  await files.makeFolder(target.store);
  await files.syncAll(target.store);
  return sum;
}
