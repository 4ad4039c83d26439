import { basename, resolve } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Machine } from "../../system/machine.ts";
import { unitsAbout } from "../../system/systemd/units.ts";
import { authenticationService } from "../config/checks/host.ts";
import type { Homeserver, Mas } from "../homeserver.ts";
import { settingAt } from "../settings.ts";

type Looking = { readonly files: Files; readonly machine: Machine };

/** What `--accept` is given by those whose service stays where it is, or who move it themselves. */
export const MAS_LEFT = "mas";

/** Whether people sign in through such a service: by the stable setting, or by the experiment that came before it. */
export const usesMas = ({ settings }: Pick<Homeserver, "settings">) =>
  authenticationService(settings) !== undefined ||
  settingAt(settings, "experimental_features.msc3861.enabled") === true;

/** Where its configuration is on this host, when there is only one: as it runs, as a unit starts it, where it is usual. */
export async function findMasConfig(
  { files, machine }: Looking,
  root = "/",
): Promise<readonly string[] | undefined> {
  const running = machine.processes().map(({ args, folder }) => configOf(args, folder));
  const units = (await masUnits(files, root)).map(({ config }) => config);
  const usual: string[][] = [];
  for (const path of USUAL) if (await files.follow(resolve(root, path))) usual.push([resolve(root, path)]);
  for (const found of [running, units, usual]) {
    const known = new Map(found.flatMap((paths) => (paths ? [[paths.join("\0"), paths] as const] : [])));
    if (known.size > 0) return known.size === 1 ? [...known.values()][0] : undefined;
  }
  return undefined;
}

const USUAL = ["etc/matrix-authentication-service/config.yaml", "etc/mas/config.yaml"];

/** The units of this host that start the service with this configuration. */
export async function unitsOfMas({ configPaths }: Mas, files: Files, root = "/"): Promise<string[]> {
  const units = await masUnits(files, root);
  return units.flatMap(({ name, config }) =>
    config?.some((path) => configPaths.includes(path)) ? [name] : [],
  );
}

async function masUnits(files: Files, root: string) {
  const units = await unitsAbout(/mas-cli/, files, root);
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

/** Throws `file-missing` when people sign in through a service whose configuration nobody named. */
export function mustHaveMas(homeserver: Homeserver, accepted: readonly string[]): void {
  if (homeserver.mas || !usesMas(homeserver) || accepted.includes(MAS_LEFT)) return;
  throw new MigrationError(
    "file-missing",
    `people of ${homeserver.serverName} sign in through a Matrix Authentication Service, whose configuration was not found`,
    {
      hint: `name it: --mas-config FILE; its database travels with it. If it stays where it is, or you move it yourself: --accept ${MAS_LEFT}`,
    },
  );
}

/** Throws `database-unsupported`: from host to host the service does not travel yet. */
export function mustNotNeedMas(homeserver: Homeserver, accepted: readonly string[]): void {
  if (!usesMas(homeserver) || accepted.includes(MAS_LEFT)) return;
  throw new MigrationError(
    "database-unsupported",
    `people of ${homeserver.serverName} sign in through a Matrix Authentication Service, which does not travel from host to host in one go`,
    {
      hint: `move both with a bundle: synlift export, then restore; or, if the service stays where it is: --accept ${MAS_LEFT}`,
    },
  );
}

/** Signs that it is up: a process that reads this configuration. Its connections to its database are another. */
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
      hint: "stop it with what started it, its worker too",
    },
  ];
}
