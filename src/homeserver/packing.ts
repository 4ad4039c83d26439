import type { Workplace } from "../bundle/workplace.ts";
import type { Step } from "../journal/step.ts";
import type { System } from "../system/system.ts";
import { CONFIG_SECTION, exportConfig } from "./config/artifact.ts";
import { packConfig, type PackedConfig } from "./config/export.ts";
import { exportDatabase } from "./database/export.ts";
import { exportSqlite } from "./database/export-sqlite.ts";
import { openSource } from "./database/source.ts";
import type { Piece } from "./estimate/export-clock.ts";
import type { Homeserver } from "./homeserver.ts";
import { compareMedia } from "./media/compare.ts";
import { exportMedia, MEDIA_MISSING, MEDIA_STEP } from "./media/export.ts";
import { exportMediaSince } from "./media/export-since.ts";
import { KEY_SECTION, packSigningKey } from "./signing-key/export.ts";
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

/** A step, and the piece of the outage that it is. */
export interface TimedStep {
  readonly step: Step;
  readonly piece?: Piece;
}

/** What is small enough to be held until it is packed. */
export interface ReadForPacking {
  readonly packed: PackedConfig;
  /** Sections of the inventory that come with it. */
  readonly sections: Readonly<Record<string, unknown>>;
}

/** Reads the configuration and the signing key. Throws `signing-key-missing`, `config-unreadable`, `file-missing`. */
export async function readForPacking({ homeserver, place, system }: Packing): Promise<ReadForPacking> {
  const packed = await packConfig(homeserver, system.files, place.inventory.salt);
  const sections = {
    [CONFIG_SECTION]: packed.section,
    [KEY_SECTION]: await packSigningKey(homeserver, system.files),
  };
  return { packed, sections };
}

/** What is packed before the server is stopped, in this order. */
export function stepsBeforeStop(
  packing: Packing,
  read: ReadForPacking,
  source: Source,
  serving: boolean,
): TimedStep[] {
  return [
    // What is small and can't be replaced goes first.
    { step: exportConfig({ ...sharedBySteps(packing), ...read }) },
    // Files of media never change: those that are there by now are packed while the server still serves.
    ...(serving ? [{ step: mediaStep(packing, source, true) }] : []),
  ];
}

/**
 * What is packed once it is down, in this order; or, in a rehearsal, all the rest. `source` is as it is now. To be run
 * one by one: a later step may depend on what the journal holds of an earlier one.
 */
export function* stepsOnceDown(packing: Packing, source: Source, served: boolean): Iterable<TimedStep> {
  yield { step: databaseStep(packing, source), piece: "database" };
  // After the database, so that every upload the dump knows has its file by now.
  if (!served)
    yield {
      step: mediaStep(packing, source, false),
      ...(packing.place.inventory.rehearsal ? {} : { piece: "media" }),
    };
  yield { step: mediaSinceStep(packing, source), piece: "media" };
}

/** What each step of an export is given besides its own. */
const sharedBySteps = ({ place, inputs }: Packing) => ({
  into: place.writer,
  inventory: place.inventory,
  inputs,
  saved: () => place.save(),
  check: place.check,
});

function databaseStep(packing: Packing, { database, marker }: Source): Step {
  const shared = { ...sharedBySteps(packing), ...packing.system, marker };
  return database.engine === "sqlite"
    ? exportSqlite({ ...shared, path: database.path })
    : exportDatabase({ ...shared, ...database });
}

/** The first archive of media: all that is there, or while the server serves, all that is there for good. */
function mediaStep(packing: Packing, source: Source, serving: boolean): Step {
  return exportMedia({ ...mediaFor(packing, source), total: source.media.bytes, serving });
}

/** What the first archive does not have, and the section on both. `source` is as it is now. */
function mediaSinceStep(packing: Packing, source: Source): Step {
  const first = packing.place.journal.steps[MEDIA_STEP]?.outcome["sha256"];
  return exportMediaSince({ ...mediaFor(packing, source), state: source.media, first: String(first) });
}

function mediaFor(packing: Packing, { database }: Source) {
  const { homeserver, folder, accepted, system } = packing;
  const { files, machine } = system;
  return {
    ...sharedBySteps(packing),
    ...{ files, machine, folder, store: homeserver.mediaStore },
    accepted: accepted.includes(MEDIA_MISSING),
    compare: async () => {
      const session = await openSource(database, system);
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
