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
import {
  exportMedia,
  MEDIA_MISSING,
  MEDIA_STEP,
  mustBeUnchanged,
  type PackedFirst,
  type Reach,
} from "./media/export.ts";
import { exportMediaSince } from "./media/export-since.ts";
import type { WrittenList } from "./media/packed-list.ts";
import { openProviders } from "./media/provider.ts";
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
  /** Media that whoever gets the archives has already. */
  readonly there?: WrittenList;
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
export async function readForPacking({
  homeserver,
  place,
  system,
}: Pick<Packing, "homeserver" | "system"> & {
  readonly place: Pick<Workplace, "inventory">;
}): Promise<ReadForPacking> {
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
    ...(serving ? mediaSteps(packing, source, true).map((step) => ({ step })) : []),
  ];
}

/**
 * What is packed once it is down, in this order; or, in a rehearsal, all the rest. `source` is as it is now. To be run
 * one by one: a later step may depend on what the journal holds of an earlier one.
 */
export function* stepsOnceDown(packing: Packing, source: Source, served: boolean): Iterable<TimedStep> {
  yield { step: databaseStep(packing, source), piece: "database" };
  // State groups are made before the events that name them: of a running server, a later dump has all that are needed.
  const state = stateStep(packing, source);
  if (state) yield { step: state, piece: "database" };
  // After the database, so that every upload the dump knows has its file by now.
  const piece = packing.place.inventory.rehearsal ? {} : ({ piece: "media" } as const);
  if (!served) for (const step of mediaSteps(packing, source, false)) yield { step, ...piece };
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
    : exportDatabase({ ...shared, ...database, store: "main" });
}

function stateStep(packing: Packing, { database, marker }: Source): Step | undefined {
  if (database.engine === "sqlite" || !database.state) return undefined;
  const shared = { ...sharedBySteps(packing), ...packing.system, marker };
  return exportDatabase({ ...shared, ...database.state, store: "state" });
}

/** The first archive of media: all that is there, or while the server serves, all that is there for good. */
export function mediaSteps(packing: Packing, source: Source, serving: boolean): Step[] {
  const media = mediaFor(packing, source);
  const packed = exportMedia({ ...media, total: source.media.bytes, serving });
  const compared: Step = {
    id: "export/media-hashes",
    // Asked for once the archive is there.
    get inputs() {
      const accepted = media.accepted ? "other files" : "nothing";
      return { ...packing.inputs, first: packedFirst(packing).sha256, accepted };
    },
    check: () => Promise.resolve(undefined),
    run() {
      mustBeUnchanged(packedFirst(packing), media);
      return Promise.resolve({});
    },
  };
  return [packed, compared];
}

/** What the first archive does not have, and the section on both. `source` is as it is now. */
function mediaSinceStep(packing: Packing, source: Source): Step {
  return exportMediaSince({
    ...mediaFor(packing, source),
    ...{ state: source.media, first: packedFirst(packing) },
  });
}

function packedFirst({ place }: Packing): PackedFirst {
  const outcome: Readonly<Record<string, unknown>> = place.journal.steps[MEDIA_STEP]?.outcome ?? {};
  const { sha256, serving, began, changed, changedCount } = outcome;
  return {
    sha256: String(sha256),
    settled: serving !== true,
    began: Number(began ?? 0),
    changed: Array.isArray(changed) ? changed.map(String) : [],
    changedCount: Number(changedCount ?? 0),
  };
}

function mediaFor(packing: Packing, { database }: Source) {
  const { homeserver, folder, accepted, there, system } = packing;
  const { files, machine, signal } = system;
  const store = homeserver.mediaStore;
  const reaching = async <T>(act: (reach: Reach) => Promise<T>): Promise<T> => {
    const providers = openProviders(homeserver, system);
    const session = await openSource(database, system);
    try {
      return await act({ session, providers });
    } finally {
      for (const provider of providers) provider.close();
      await session.close();
    }
  };
  return {
    ...sharedBySteps(packing),
    ...{ files, machine, signal, folder, store, reaching, there },
    accepted: accepted.includes(MEDIA_MISSING),
    compare: () =>
      reaching(({ session, providers }) =>
        compareMedia(session, store, files, { hashes: false, tell: () => undefined, providers, signal }),
      ),
  };
}
