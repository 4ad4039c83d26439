import type { BundleWorkspace } from "../../bundle/workspace.ts";
import { CONFIG_SECTION, exportConfig } from "../../homeserver/config/artifact.ts";
import { packConfig, type PackedConfig } from "../../homeserver/config/export.ts";
import { exportDatabase } from "../../homeserver/database/export.ts";
import type { PostgresSource } from "../../homeserver/database/source.ts";
import { exportSqlite } from "../../homeserver/database/sqlite/export.ts";
import type { Store } from "../../homeserver/database/store.ts";
import { MAS_CONFIG_ARTIFACT, MAS_SECTION } from "../../homeserver/mas/artifact.ts";
import { KEY_SECTION, packSigningKey } from "../../homeserver/signing-key/export.ts";
import type { StoreState } from "../../homeserver/media/store/store.ts";
import type { Step } from "../../journal/step.ts";
import { commonStepOptions, type ExportContext, type ExportStep } from "./context.ts";
import { choiceStep, mediaSinceStep, mediaSteps } from "./media-steps.ts";
import type { SourceState } from "./source.ts";
import { lostServersStep, mediaScopeOf } from "./unreachable-servers.ts";

/** What is small enough to be held in memory until it is packed. */
export interface ConfigToPack {
  readonly packed: PackedConfig;
  /** Sections of the inventory that come with it. */
  readonly sections: Readonly<Record<string, unknown>>;
  /** Of the authentication service, if it is moved too. */
  readonly mas: PackedConfig | undefined;
}

/** Reads the configuration and the signing key. Throws `signing-key-missing`, `config-unreadable`, `file-missing`. */
export async function readConfigToPack({
  homeserver,
  workspace,
  system,
}: Pick<ExportContext, "homeserver" | "system"> & {
  readonly workspace: Pick<BundleWorkspace, "inventory">;
}): Promise<ConfigToPack> {
  const packed = await packConfig(homeserver, system.files, workspace.inventory.salt);
  const sections = {
    [CONFIG_SECTION]: packed.section,
    [KEY_SECTION]: await packSigningKey(homeserver, system.files),
  };
  const mas = homeserver.mas && (await packConfig(homeserver.mas, system.files, workspace.inventory.salt));
  return { packed, sections, mas };
}

/** The steps before the server is stopped, in order. Run each before asking for the next, as with `stepsAfterStop`. */
export function* stepsBeforeStop(
  packing: ExportContext,
  read: ConfigToPack,
  source: SourceState,
  serving: boolean,
): Iterable<ExportStep> {
  // Small and irreplaceable data goes first.
  yield { step: exportConfig({ ...commonStepOptions(packing), ...read }) };
  if (read.mas) yield { step: masConfigStep(packing, read.mas) };
  yield { step: choiceStep(packing) };
  if (packing.media.backup && !packing.media.remote) yield { step: lostServersStep(packing, source) };
  // Media files never change: those that exist now are packed while the server still runs.
  if (serving) yield* mediaSteps(packing, source, true);
}

/**
 * The steps after the server is stopped, in order; in a rehearsal, all the rest. `source` is its current state, but for the
 * media, whose state `tellMedia` is given when it is known. Run each before asking for the next: a later step may depend on the journal entry of an earlier one.
 */
export function* stepsAfterStop(
  packing: ExportContext,
  source: SourceState,
  served: boolean,
  tellMedia?: (state: StoreState) => void,
): Iterable<ExportStep> {
  // First, because the homeserver then knows everything in it. In the other order a session could be missing.
  const { mas } = source.database;
  if (mas) yield { step: dumpStep(packing, source, mas, "mas"), stage: "database" };
  yield { step: databaseStep(packing, source), stage: "database" };
  // State groups are written before the events that use them, so a later dump of a running server has all of them.
  const state = source.database.engine === "postgres" ? source.database.state : undefined;
  if (state) yield { step: dumpStep(packing, source, state, "state"), stage: "database" };
  // After the database, so that every upload in the dump already has its file.
  const stage = packing.workspace.inventory.rehearsal ? {} : ({ stage: "media" } as const);
  if (!served) for (const step of mediaSteps(packing, source, false)) yield { ...step, ...stage };
  yield { ...mediaSinceStep(packing, source, { tell: tellMedia }), stage: "media" };
}

function databaseStep(
  packing: ExportContext,
  { database, marker }: Pick<SourceState, "database" | "marker">,
): Step {
  const shared = { ...commonStepOptions(packing), ...packing.system, marker, kept: mediaScopeOf(packing) };
  return database.engine === "sqlite"
    ? exportSqlite({ ...shared, path: database.path, folder: packing.folder, progress: packing.progress })
    : dumpStep(packing, { marker }, database, "main");
}

const dumpStep = (
  packing: ExportContext,
  { marker }: Pick<SourceState, "marker">,
  one: PostgresSource,
  store: Store,
): Step =>
  exportDatabase({
    ...commonStepOptions(packing),
    ...packing.system,
    marker,
    ...one,
    store,
    format: packing.dumpFormat,
    progress: packing.progress,
    ...(store === "main" ? { kept: mediaScopeOf(packing) } : {}),
  });

const masConfigStep = (packing: ExportContext, packed: PackedConfig): Step =>
  exportConfig({
    ...commonStepOptions(packing),
    packed,
    sections: { [MAS_SECTION]: packed.section },
    as: {
      step: "export/config-mas",
      artifact: MAS_CONFIG_ARTIFACT,
      label: "authentication service's configuration",
    },
  });
