import type { Workplace } from "../../bundle/workplace.ts";
import { CONFIG_SECTION, exportConfig } from "../../homeserver/config/artifact.ts";
import { packConfig, type PackedConfig } from "../../homeserver/config/export.ts";
import { exportDatabase } from "../../homeserver/database/export.ts";
import type { PostgresSource } from "../../homeserver/database/source.ts";
import { exportSqlite } from "../../homeserver/database/sqlite/export.ts";
import type { Store } from "../../homeserver/database/store.ts";
import { MAS_CONFIG_ARTIFACT, MAS_SECTION } from "../../homeserver/mas/artifact.ts";
import { KEY_SECTION, packSigningKey } from "../../homeserver/signing-key/export.ts";
import type { Step } from "../../journal/step.ts";
import { type Packing, sharedBySteps, type TimedStep } from "./context.ts";
import { keptIn, lostStep } from "./lost-servers.ts";
import { choiceStep, mediaSinceStep, mediaSteps } from "./media-steps.ts";
import type { Source } from "./source.ts";

/** What is small enough to be held until it is packed. */
export interface ReadForPacking {
  readonly packed: PackedConfig;
  /** Sections of the inventory that come with it. */
  readonly sections: Readonly<Record<string, unknown>>;
  /** Of the authentication service, if it travels. */
  readonly mas: PackedConfig | undefined;
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
  const mas = homeserver.mas && (await packConfig(homeserver.mas, system.files, place.inventory.salt));
  return { packed, sections, mas };
}

/** What is packed before the server is stopped, in this order. To be run one by one, as what comes after it. */
export function* stepsBeforeStop(
  packing: Packing,
  read: ReadForPacking,
  source: Source,
  serving: boolean,
): Iterable<TimedStep> {
  // What is small and can't be replaced goes first.
  yield { step: exportConfig({ ...sharedBySteps(packing), ...read }) };
  if (read.mas) yield { step: masConfigStep(packing, read.mas) };
  yield { step: choiceStep(packing) };
  if (packing.media.backup && !packing.media.remote) yield { step: lostStep(packing, source) };
  // Files of media never change: those that are there by now are packed while the server still serves.
  if (serving) yield* mediaSteps(packing, source, true);
}

/**
 * What is packed once it is down, in this order; or, in a rehearsal, all the rest. `source` is as it is now. To be run
 * one by one: a later step may depend on what the journal holds of an earlier one.
 */
export function* stepsOnceDown(packing: Packing, source: Source, served: boolean): Iterable<TimedStep> {
  // First: whatever it has, the homeserver knows by then. The other way round a session could be missing.
  const { mas } = source.database;
  if (mas) yield { step: dumpStep(packing, source, mas, "mas"), piece: "database" };
  yield { step: databaseStep(packing, source), piece: "database" };
  // State groups are made before the events that name them: of a running server, a later dump has all that are needed.
  const state = source.database.engine === "postgres" ? source.database.state : undefined;
  if (state) yield { step: dumpStep(packing, source, state, "state"), piece: "database" };
  // After the database, so that every upload the dump knows has its file by now.
  const piece = packing.place.inventory.rehearsal ? {} : ({ piece: "media" } as const);
  if (!served) for (const step of mediaSteps(packing, source, false)) yield { ...step, ...piece };
  yield { ...mediaSinceStep(packing, source), piece: "media" };
}

function databaseStep(packing: Packing, { database, marker }: Pick<Source, "database" | "marker">): Step {
  const shared = { ...sharedBySteps(packing), ...packing.system, marker, kept: keptIn(packing) };
  return database.engine === "sqlite"
    ? exportSqlite({ ...shared, path: database.path })
    : dumpStep(packing, { marker }, database, "main");
}

const dumpStep = (
  packing: Packing,
  { marker }: Pick<Source, "marker">,
  one: PostgresSource,
  store: Store,
): Step =>
  exportDatabase({
    ...{ ...sharedBySteps(packing), ...packing.system, marker, ...one, store, format: packing.dumpFormat },
    progress: packing.progress,
    ...(store === "main" ? { kept: keptIn(packing) } : {}),
  });

const masConfigStep = (packing: Packing, packed: PackedConfig): Step =>
  exportConfig({
    ...{ ...sharedBySteps(packing), packed, sections: { [MAS_SECTION]: packed.section } },
    as: {
      ...{ step: "export/config-mas", artifact: MAS_CONFIG_ARTIFACT },
      label: "authentication service's configuration",
    },
  });
