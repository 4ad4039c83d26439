import type { Workplace } from "../bundle/workplace.ts";
import type { Step } from "../journal/step.ts";
import type { System } from "../system/system.ts";
import { exportDatabase } from "./database/export.ts";
import type { Homeserver } from "./homeserver.ts";
import { compareMedia } from "./media/compare.ts";
import { exportMedia, MEDIA_MISSING, MEDIA_STEP } from "./media/export.ts";
import { exportMediaSince } from "./media/export-since.ts";
import type { Source } from "./source.ts";

export interface Packing {
  readonly homeserver: Homeserver;
  readonly place: Workplace;
  /** Folder of the bundle. */
  readonly folder: string;
  /** What every step depends on. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly accepted: readonly string[];
  readonly system: System;
}

/** What each step of an export is given besides its own. */
export const sharedBySteps = ({ place, inputs }: Packing) => ({
  into: place.writer,
  inventory: place.inventory,
  inputs,
  saved: () => place.save(),
  check: place.check,
});

export function databaseStep(packing: Packing, { address, pgDump, marker }: Source): Step {
  return exportDatabase({ ...sharedBySteps(packing), ...packing.system, address, pgDump, marker });
}

/** The first archive of media: all that is there, or while the server serves, all that is there for good. */
export function mediaStep(packing: Packing, source: Source, serving: boolean): Step {
  return exportMedia({ ...mediaFor(packing, source), total: source.media.bytes, serving });
}

/** What the first archive does not have, and the section on both. `source` is as it is now. */
export function mediaSinceStep(packing: Packing, source: Source): Step {
  const first = packing.place.journal.steps[MEDIA_STEP]?.outcome["sha256"];
  return exportMediaSince({ ...mediaFor(packing, source), state: source.media, first: String(first) });
}

function mediaFor(packing: Packing, { address }: Source) {
  const { homeserver, folder, accepted, system } = packing;
  const { files, machine, postgres } = system;
  return {
    ...sharedBySteps(packing),
    ...{ files, machine, folder, store: homeserver.mediaStore },
    accepted: accepted.includes(MEDIA_MISSING),
    compare: async () => {
      const session = await postgres.connect(address);
      try {
        return await compareMedia(session, homeserver.mediaStore, files, {
          hashes: false,
          tell: () => undefined,
        });
      } finally {
        await session.close();
      }
    },
  };
}
