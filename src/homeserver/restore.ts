import { join } from "node:path";
import type { Inventory } from "../bundle/inventory.ts";
import { sealedName } from "../bundle/layout.ts";
import type { Bundle } from "../bundle/reader.ts";
import { MigrationError } from "../errors.ts";
import type { Step } from "../journal/step.ts";
import type { Lock } from "../pipeline/encrypt.ts";
import { meter } from "../pipeline/measure.ts";
import type { Bytes } from "../pipeline/stage.ts";
import type { Progress } from "../system/progress.ts";
import type { System } from "../system/system.ts";
import { CONFIG_ARTIFACT, unpackConfig } from "./config/artifact.ts";
import { openTarget, type DatabaseTarget } from "./database/target.ts";
import { compareMedia } from "./media/compare.ts";
import { MEDIA_ARTIFACT } from "./media/export.ts";
import { MEDIA_SINCE_ARTIFACT } from "./media/export-since.ts";
import { restoreArchives, type MediaTarget } from "./media/restore.ts";
import type { MediaSection } from "./media/section.ts";
import { lostSince } from "./media/verify.ts";

/** A bundle that was checked, opened with its key, and is about to be unpacked. */
export interface Opened {
  readonly bundle: Bundle;
  readonly inventory: Inventory;
  readonly lock: Lock;
}

/** The packed configuration, by name. Throws `bundle-damaged`. */
export function readConfigArtifact(opened: Opened): Promise<ReadonlyMap<string, Uint8Array>> {
  return unpackConfig(contents(opened, CONFIG_ARTIFACT));
}

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
      // What came last first: where both archives have a file, its word counts.
      const since = opened.inventory.artifacts.some(({ name }) => name === sealedName(MEDIA_SINCE_ARTIFACT))
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

/** An artifact's content, which ends well only if all of it is what was packed. */
function contents({ bundle, inventory, lock }: Opened, plainName: string): Bytes {
  const artifact = bundle.artifact(plainName);
  if (!artifact) {
    throw new MigrationError("bundle-damaged", `${bundle.folder} has no ${sealedName(plainName)}`, {
      hint: "copy the bundle again, all of it; or it was made by a version that packs other things",
    });
  }
  const recorded = inventory.artifacts.find(({ name }) => name === artifact.name);
  return bundle.plain(artifact, lock, recorded?.plain);
}

/** The same, and how far it has come. */
export async function* shown(opened: Opened, plainName: string, label: string, progress: Progress): Bytes {
  const id = `restore/${label}`;
  const recorded = opened.inventory.artifacts.find(({ name }) => name === sealedName(plainName));
  progress.begin({ id, label, unit: "bytes", ...(recorded ? { total: recorded.plain.size } : {}) });
  const tell = meter((bytes) => {
    progress.advance(id, bytes);
  });
  yield* tell(contents(opened, plainName));
  progress.end(id);
}

/** Where `open` finds the inventory when the bundle itself is gone. */
export const inventoryCopy = (recordFolder: string) => join(recordFolder, "inventory.json.gpg");
