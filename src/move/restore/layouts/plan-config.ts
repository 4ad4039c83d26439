import { arrangeForDebian } from "../../../homeserver/config/pack/debian-layout.ts";
import { type ConfigPlan, planConfig } from "../../../homeserver/config/restore.ts";
import { argsOf, type DatabaseRestore } from "../../../homeserver/database/target.ts";
import { openedMarkerPath } from "../../../homeserver/service/fence/new-server.ts";
import { parseVersion } from "../../../homeserver/synapse-versions.ts";
import { installedSynapse } from "../../../homeserver/version/installed.ts";
import type { System } from "../../../system/system.ts";
import type { ChosenLayout } from "./choose.ts";
import { composeDatabase } from "./compose.ts";
import type { StartFacts } from "./layout.ts";

/** Suffix of the first configuration file until `open` lifts the fence. */
const FENCED_SUFFIX = ".fenced";

export interface ConfigInput {
  readonly packed: ReadonlyMap<string, Uint8Array>;
  /** The target of each database. */
  readonly databases: readonly DatabaseRestore[];
  readonly publicBaseurl?: string | undefined;
  /** --synapse: the Synapse that will run. */
  readonly synapse?: string | undefined;
  readonly synapseVersion?: string | undefined;
  /** See `ConfigTarget`. */
  readonly servesMedia?: boolean | undefined;
}

export interface PlannedConfig {
  readonly plan: ConfigPlan;
  /** The Python that will run it, where known. */
  readonly python: string | undefined;
}

/** Plans the configuration for a layout. Writes nothing. Throws what `planConfig` and `installedSynapse` throw. */
export async function planConfigFor(
  layout: ChosenLayout,
  from: ConfigInput,
  system: System,
): Promise<PlannedConfig> {
  const { packed, databases, publicBaseurl, synapse, synapseVersion, servesMedia } = from;
  const { configDir: folder, mediaDir, owner, listen, compose } = layout;
  const { pidFile, logFolder, supervised, withoutWorkers } = layout;
  const installed = compose
    ? undefined
    : await installedSynapse({ synapse, configPaths: [`${folder}/homeserver.yaml`] }, system);
  const plan = planConfig({
    packed: layout.name === "debian" ? arrangeForDebian(packed) : packed,
    synapse: installed?.version?.version ?? parseVersion(synapseVersion ?? ""),
    target: {
      folder,
      pathInContainer: toSynapsePath(layout, folder),
      mediaStore: toSynapsePath(layout, mediaDir),
      fencedSuffix: FENCED_SUFFIX,
      ...argsOf(databases),
      ...(compose ? { database: composeDatabase(passwordOf(databases)) } : {}),
      pidFile,
      logFolder,
      publicBaseurl,
      supervised,
      withoutWorkers,
      servesMedia,
      ...(listen ? { listen } : {}),
      ...(owner ? { owner } : {}),
    },
  });
  return { plan, python: installed?.python };
}

/** The generated password of the database in a container. */
function passwordOf([first]: readonly DatabaseRestore[]): string {
  return (first?.target.engine === "postgres" ? first.target.address.password : undefined) ?? "";
}

/** What the layout's own files contain. */
export const startFactsOf = (
  layout: ChosenLayout,
  { configPaths, folder }: ConfigPlan,
  serverName: string,
): StartFacts => ({
  serverName,
  configPaths: configPaths.map((path) => toSynapsePath(layout, path)),
  opened: toSynapsePath(layout, openedMarkerPath(folder)),
});

/** A path of this host as Synapse sees it. */
function toSynapsePath({ map }: ChosenLayout, path: string): string {
  const [pair] = map;
  return pair && path.startsWith(pair.outside) ? pair.inside + path.slice(pair.outside.length) : path;
}
