import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import { MAIN_APP } from "./command-line.ts";
import { containerLaunches } from "./containers.ts";
import type { FoundLaunches, Launch, LaunchSystem } from "./launch.ts";
import { processLaunches } from "./processes.ts";
import { unitLaunches } from "./units.ts";

/**
 * Finds every Synapse on this host: in systemd's unit files, containers and processes; or else where
 * Debian's packages put the configuration. Changes nothing. `root` is where the host's files are, for tests.
 */
export async function findLaunches(system: LaunchSystem, root = "/"): Promise<FoundLaunches> {
  const units = await unitLaunches(system, root);
  const { launches: containers, findings } = await containerLaunches(system);
  const processes = await processLaunches(system, root, [...units, ...containers]);
  const found = [...processes.known, ...processes.unmatched];
  const main = found.filter(({ app }) => app === MAIN_APP);
  return {
    main: main.length > 0 ? main : await defaultLaunch(system.files, root),
    workers: found.filter(({ app }) => app !== MAIN_APP),
    findings: [...findings, ...processes.findings],
  };
}

/** Both packages, matrix.org's and Debian's own, start Synapse so. */
const PACKAGED = ["/etc/matrix-synapse/homeserver.yaml", "/etc/matrix-synapse/conf.d"];

async function defaultLaunch(files: Files, root: string): Promise<Launch[]> {
  const there: string[] = [];
  for (const path of PACKAGED) if (await isThere(join(root, path), files)) there.push(path);
  if (!there.includes(PACKAGED[0]!)) return [];
  return [
    {
      kind: "default",
      from: "the path that Debian's packages use",
      name: "matrix-synapse",
      isRunning: false,
      startsAutomatically: false,
      app: MAIN_APP,
      configPaths: there,
      workingFolder: "/var/lib/matrix-synapse",
      map: [],
      account: "matrix-synapse",
      program: undefined,
      overrides: [],
    },
  ];
}

async function isThere(path: string, files: Files): Promise<boolean> {
  try {
    return (await files.stat(path)) !== undefined;
  } catch (error) {
    // A missing permission is reported when it is read.
    if (error instanceof MigrationError) return true;
    throw error;
  }
}
