import type { Workplace } from "../bundle/workplace.ts";
import type { Step } from "../journal/step.ts";
import { CONFIG_SECTION, exportConfig } from "./config/artifact.ts";
import { packConfig, type PackedConfig } from "./config/export.ts";
import { exportDatabase } from "./database/export.ts";
import { exportSqlite } from "./database/export-sqlite.ts";
import { choiceStep, mediaSinceStep, mediaSteps } from "./packing-media.ts";
import { sharedBySteps, type Packing, type TimedStep } from "./packing-place.ts";
import { KEY_SECTION, packSigningKey } from "./signing-key/export.ts";
import type { Source } from "./source.ts";

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
    { step: choiceStep(packing) },
    // Files of media never change: those that are there by now are packed while the server still serves.
    ...(serving ? mediaSteps(packing, source, true) : []),
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
  if (!served) for (const step of mediaSteps(packing, source, false)) yield { ...step, ...piece };
  yield { ...mediaSinceStep(packing, source), piece: "media" };
}

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
