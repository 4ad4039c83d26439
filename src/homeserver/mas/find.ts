import { basename, resolve } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Machine } from "../../system/machine.ts";
import { findUnits } from "../../system/systemd/units.ts";
import { masEndpoint } from "../config/checks/host.ts";
import type { Homeserver, Mas } from "../homeserver.ts";
import { settingAt } from "../settings.ts";

type Looking = { readonly files: Files; readonly machine: Machine };

/** The id for `--accept` when the service stays where it is, or is moved by other means. */
export const ACCEPT_NO_MAS = "mas";

/** Whether users sign in through such a service: by the stable setting or the earlier experimental one. */
export const usesMas = ({ settings }: Pick<Homeserver, "settings">) =>
  masEndpoint(settings) !== undefined ||
  settingAt(settings, "experimental_features.msc3861.enabled") === true;

/** Its configuration on this host, if there is only one: of a running process, of a unit, or at a common path. */
export async function findMasConfig(
  { files, machine }: Looking,
  root = "/",
): Promise<readonly string[] | undefined> {
  const running = machine.processes().map(({ args, folder }) => configOf(args, folder));
  const units = (await masUnits(files, root)).map(({ config }) => config);
  const usual: string[][] = [];
  for (const path of COMMON_PATHS)
    if (await files.stat(resolve(root, path))) usual.push([resolve(root, path)]);
  for (const found of [running, units, usual]) {
    const known = new Map(found.flatMap((paths) => (paths ? [[paths.join("\0"), paths] as const] : [])));
    if (known.size > 0) return known.size === 1 ? [...known.values()][0] : undefined;
  }
  return undefined;
}

const COMMON_PATHS = ["etc/matrix-authentication-service/config.yaml", "etc/mas/config.yaml"];

/** The units of this host that start the service with this configuration. */
export async function unitsOfMas({ configPaths }: Mas, files: Files, root = "/"): Promise<string[]> {
  const units = await masUnits(files, root);
  return units.flatMap(({ name, config }) =>
    config?.some((path) => configPaths.includes(path)) ? [name] : [],
  );
}

async function masUnits(files: Files, root: string) {
  const units = await findUnits(/mas-cli/, files, root);
  return units.map(({ name, command, workingFolder = "/" }) => ({
    name,
    config: configOf(command, workingFolder),
  }));
}

/** The service's documentation, setup/general.md: `--config`, several times, or config.yaml where it runs. */
function configOf(args: readonly string[], folder: string | undefined): string[] | undefined {
  const program = args.findIndex((arg) => basename(arg) === "mas-cli");
  if (program === -1 || folder === undefined) return undefined;
  const paths: string[] = [];
  for (let at = program + 1; at < args.length; at++) {
    const [, name, value] = /^(--config|-c)(?:=(.*))?$/s.exec(args[at]!) ?? [];
    if (name !== undefined) paths.push(value ?? args[++at] ?? "");
  }
  return (paths.length > 0 ? paths : ["config.yaml"]).map((path) => resolve(folder, path));
}

/** Throws `file-missing` when users sign in through a service and its configuration is unknown. */
export function assertMasFound(homeserver: Homeserver, accepted: readonly string[]): void {
  if (homeserver.mas || !usesMas(homeserver) || accepted.includes(ACCEPT_NO_MAS)) return;
  throw new MigrationError(
    "file-missing",
    `people of ${homeserver.serverName} sign in through a Matrix Authentication Service, but its configuration was not found`,
    {
      hint: `give it with --mas-config FILE; its database is moved too. If it stays where it is, or you move it yourself: --accept ${ACCEPT_NO_MAS}`,
    },
  );
}

/** Throws `database-unsupported`: a direct transfer does not move the service yet. */
export function assertNoMas(homeserver: Homeserver, accepted: readonly string[]): void {
  if (!usesMas(homeserver) || accepted.includes(ACCEPT_NO_MAS)) return;
  throw new MigrationError(
    "database-unsupported",
    `people of ${homeserver.serverName} sign in through a Matrix Authentication Service, which a direct transfer does not move`,
    {
      hint: `move both with a bundle: synlift export, then restore; or, if the service stays where it is: --accept ${ACCEPT_NO_MAS}`,
    },
  );
}

/** Evidence that it is running: a process with this configuration. Connections to its database are checked elsewhere. */
export function masProcesses({ configPaths }: Mas, machine: Machine): Finding[] {
  const running = machine
    .processes()
    .filter(({ args, folder }) => configOf(args, folder)?.some((path) => configPaths.includes(path)));
  if (running.length === 0) return [];
  return [
    {
      id: "mas-process",
      level: "blocker",
      sentence: `the authentication service runs with this configuration, as process ${running.map(({ pid }) => pid).join(", ")}`,
      hint: "stop it and its worker with what started them",
    },
  ];
}
