import { MigrationError } from "../../../errors.ts";
import type { Machine } from "../../../system/machine.ts";
import { composeLayout, type ComposePlaces } from "./compose.ts";
import { DEBIAN_ACCOUNT, debianLayout } from "./debian.ts";
import type { Layout, LayoutName, LayoutOwner } from "./layout.ts";
import { pipLayout, type PipPlaces } from "./pip.ts";

/** The options about the new host; folders are absolute. */
export interface LayoutOptions {
  readonly layout: LayoutName | undefined;
  readonly folder: string | undefined;
  readonly configDir: string | undefined;
  readonly mediaDir: string | undefined;
  readonly owner: LayoutOwner | undefined;
  readonly listen: { readonly address: string; readonly port: number } | undefined;
  /** Loopback port through which the database in a container is restored. */
  readonly databasePort: number;
  readonly units: readonly string[];
  readonly withoutWorkers: boolean;
  /** Only restore the data; write nothing that starts or blocks a server. */
  readonly prepareOnly: boolean;
}

export type ChosenLayout = Layout & {
  readonly pip?: PipPlaces;
  readonly compose?: ComposePlaces;
  /** Whether every unit that reads the configuration is blocked, in addition to `units`. */
  readonly blocksReaders: boolean;
};

/** The layout on the new host. Throws `bad-usage` for options that a layout requires or does not allow. */
export function chooseLayout(
  wanted: LayoutOptions,
  machine: Pick<Machine, "account" | "isRoot" | "user">,
): ChosenLayout {
  const layout: Omit<ChosenLayout, "blocksReaders"> = wanted.prepareOnly
    ? preparedOnly(wanted, machine)
    : laidOut(wanted, machine);
  if (layout.configDir === layout.mediaDir)
    throw usage(`--config-dir and --media-dir are both ${layout.configDir}`, "give each a folder of its own");
  return {
    ...layout,
    units: [...new Set([...layout.units, ...wanted.units])],
    blocksReaders: !wanted.prepareOnly,
    withoutWorkers: layout.withoutWorkers || wanted.withoutWorkers,
    listen: layout.listen ?? wanted.listen,
  };
}

/** Throws `bad-usage` when a target folder is inside the bundle's folder, and would be deleted with it. */
export function assertOutsideBundle({ configDir, mediaDir }: Layout, bundle: string): void {
  for (const [option, path] of [
    ["--config-dir", configDir],
    ["--media-dir", mediaDir],
  ] as const)
    if (`${path}/`.startsWith(`${bundle}/`))
      throw usage(`${option} ${path} is inside the bundle's folder ${bundle}`, "choose a folder outside it");
}

/** Synapse is started by other means: only the folders of the layout are used. */
function preparedOnly(
  wanted: LayoutOptions,
  machine: Pick<Machine, "account" | "isRoot" | "user">,
): Omit<ChosenLayout, "blocksReaders"> {
  if (wanted.layout === "compose")
    throw usage(
      "--layout compose writes files that start the server: it cannot be combined with --prepare-only",
      "give --config-dir, --media-dir and --database instead",
    );
  if (wanted.units.length > 0)
    throw usage(
      "--unit blocks a unit, and --prepare-only writes nothing about services: leave one of them out",
    );
  const { pip: _, ...layout } = laidOut(wanted, machine);
  return { ...layout, units: [], start: undefined, stop: undefined };
}

function laidOut(
  wanted: LayoutOptions,
  machine: Pick<Machine, "account" | "isRoot" | "user">,
): Omit<ChosenLayout, "blocksReaders"> {
  const { layout, configDir, mediaDir } = wanted;
  if (layout === undefined) {
    if (configDir === undefined || mediaDir === undefined)
      throw usage(
        "--config-dir and --media-dir are required",
        "or choose a layout that sets them: --layout debian, pip or compose",
      );
    if (wanted.folder !== undefined) throw usage("--folder requires --layout pip or compose");
    return ownLayout(configDir, mediaDir, wanted.owner);
  }
  if (layout === "debian") return debianLayout({ configDir, mediaDir, owner: debianOwner(wanted, machine) });
  if (wanted.folder === undefined)
    throw usage(`--layout ${layout} requires --folder`, "add --folder /srv/synapse");
  if (layout === "pip") {
    const pip = { folder: wanted.folder, configDir, mediaDir, owner: wanted.owner };
    return { ...pipLayout(pip), pip };
  }
  if (configDir !== undefined || mediaDir !== undefined)
    throw usage("--layout compose puts everything below --folder: leave out --config-dir and --media-dir");
  const compose = {
    folder: wanted.folder,
    owner: wanted.owner ?? (machine.isRoot ? undefined : machine.account(machine.user)),
    listen: wanted.listen ?? { address: "127.0.0.1", port: 8008 },
    databasePort: wanted.databasePort,
  };
  return { ...composeLayout(compose), compose };
}

function debianOwner(
  { owner }: LayoutOptions,
  { account, isRoot }: Pick<Machine, "account" | "isRoot">,
): LayoutOwner | undefined {
  const found = owner ?? account(DEBIAN_ACCOUNT);
  if (found || !isRoot) return found;
  throw usage(
    `this host has no account ${DEBIAN_ACCOUNT}, which the package creates`,
    "first install Synapse (the package matrix-synapse-py3 of matrix.org, or Debian's own matrix-synapse) and stop it (systemctl stop matrix-synapse), or give another account: --owner",
  );
}

/** Folders given by options, and a server started by the person's own means. */
const ownLayout = (configDir: string, mediaDir: string, owner: LayoutOwner | undefined): Layout => ({
  name: "own",
  configDir,
  mediaDir,
  owner,
  map: [],
  units: [],
  pidFile: undefined,
  supervised: false,
  withoutWorkers: false,
  listen: undefined,
  url: undefined,
  start: undefined,
  stop: undefined,
});

const usage = (sentence: string, hint = "--help shows an example") =>
  new MigrationError("bad-usage", sentence, { hint });
