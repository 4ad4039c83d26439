import { asDebianReads } from "../../../homeserver/config/pack/arrange.ts";
import { type ConfigPlan, planConfig } from "../../../homeserver/config/restore.ts";
import { argsOf, type DatabaseRestore } from "../../../homeserver/database/target.ts";
import { openedMark } from "../../../homeserver/service/fence/new-server.ts";
import { parseVersion } from "../../../homeserver/synapse-versions.ts";
import { installedSynapse } from "../../../homeserver/version/installed.ts";
import type { System } from "../../../system/system.ts";
import type { Chosen } from "./choose.ts";
import { composeDatabase } from "./compose.ts";
import type { Started } from "./layout.ts";

/** Suffix of the first configuration file until `open` lifts the fence. */
const FENCED = ".fenced";

export interface Rewriting {
  readonly packed: ReadonlyMap<string, Uint8Array>;
  /** The target of each database. */
  readonly databases: readonly DatabaseRestore[];
  readonly publicBaseurl?: string | undefined;
  /** --synapse: the Synapse that will run. */
  readonly synapse?: string | undefined;
  readonly synapseVersion?: string | undefined;
}

export interface Rewritten {
  readonly plan: ConfigPlan;
  /** The Python that will run it, where known. */
  readonly python: string | undefined;
}

/** Plans the configuration for a layout. Writes nothing. Throws what `planConfig` and `installedSynapse` throw. */
export async function rewriteFor(layout: Chosen, from: Rewriting, system: System): Promise<Rewritten> {
  const { packed, databases, publicBaseurl, synapse, synapseVersion } = from;
  const { configDir: folder, mediaDir, owner, listen, compose } = layout;
  const { pidFile, supervised, withoutWorkers } = layout;
  const installed = compose
    ? undefined
    : await installedSynapse({ synapse, configPaths: [`${folder}/homeserver.yaml`] }, system);
  const plan = planConfig({
    packed: layout.name === "debian" ? asDebianReads(packed) : packed,
    synapse: installed?.version?.version ?? parseVersion(synapseVersion ?? ""),
    target: {
      ...{
        folder,
        seenAs: asSeen(layout, folder),
        mediaStore: asSeen(layout, mediaDir),
        fencedSuffix: FENCED,
      },
      ...argsOf(databases),
      ...(compose ? { database: composeDatabase(passwordOf(databases)) } : {}),
      ...{ pidFile, publicBaseurl, supervised, withoutWorkers },
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
export const startedAs = (
  layout: Chosen,
  { configPaths, folder }: ConfigPlan,
  serverName: string,
): Started => ({
  serverName,
  configPaths: configPaths.map((path) => asSeen(layout, path)),
  opened: asSeen(layout, openedMark(folder)),
});

/** A path of this host as Synapse sees it. */
function asSeen({ map }: Chosen, path: string): string {
  const [pair] = map;
  return pair && path.startsWith(pair.outside) ? pair.inside + path.slice(pair.outside.length) : path;
}
