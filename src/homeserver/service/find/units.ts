import { findUnits, type Unit } from "../../../system/systemd/units.ts";
import { resolvePaths, synapseCommand } from "./command-line.ts";
import type { Launch, LaunchSystem } from "./launch.ts";

/** How systemd would start Synapse, by the unit files on disk. Whether it is running is not known here. */
export async function unitLaunches({ files, machine }: LaunchSystem, root: string): Promise<Launch[]> {
  const units = await findUnits(/synapse|synctl/i, files, root);
  return units.flatMap((unit) => {
    const command = synapseCommand(unit.command);
    if (!command) return [];
    const workingFolder = folderOf(unit, (name) => machine.account(name)?.home);
    const configPaths = resolvePaths(command.configPaths, workingFolder);
    if (configPaths === undefined || configPaths.length === 0) return [];
    return [
      {
        kind: "unit" as const,
        from: `the unit ${unit.name} (${unit.files.join(", ")})`,
        name: unit.name,
        isRunning: false,
        startsAutomatically: unit.isEnabled,
        app: command.app,
        configPaths,
        workingFolder,
        map: [],
        account: unit.account ?? "root",
        program: command.program,
        overrides: command.overrides,
        ...(command.keysFolder === undefined ? {} : { keysFolder: command.keysFolder }),
      },
    ];
  });
}

/** The unit of both packages, matrix.org's and Debian's own, which reads the folder below. */
const PACKAGED = { unit: "matrix-synapse.service", folder: "/etc/matrix-synapse" };

/**
 * Names of the units, workers' included, that start Synapse with a configuration in this folder or below it; for the
 * folder of Debian's packages their unit too, which may be installed later. Changes nothing.
 */
export async function unitsReading(folder: string, system: LaunchSystem, root = "/"): Promise<string[]> {
  const launches = await unitLaunches(system, root);
  const reading = launches.filter(({ configPaths }) =>
    configPaths.some((path) => `${path}/`.startsWith(`${folder}/`)),
  );
  const names = new Set(reading.map(({ name }) => name));
  if (folder === PACKAGED.folder) names.add(PACKAGED.unit);
  return [...names];
}

/** systemd.exec(5): "~" is the home of the account, and without the setting a system service runs in "/". */
function folderOf(
  { workingFolder = "/", account = "root" }: Unit,
  homeOf: (account: string) => string | undefined,
): string | undefined {
  return workingFolder === "~" ? homeOf(account) : workingFolder;
}
