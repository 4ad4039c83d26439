import { isAbsolute, resolve } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";
import { findLaunches } from "../service/find/find.ts";
import { hostPathsOf, type Launch, type LaunchSystem } from "../service/find/launch.ts";
import { parseVersion } from "../synapse-versions.ts";
import { type FoundVersion, versionFromDpkg, versionFromEnvironment } from "./source.ts";

export interface InstalledQuery {
  /** --synapse: the Python that has Synapse, or the folder of its virtual environment. */
  readonly synapse?: string | undefined;
  readonly startCommand?: string | undefined;
  /** The version of the image that a layout runs. */
  readonly image?: string | undefined;
  /** What Synapse is to be given with `-c`, by places on this host. */
  readonly configPaths: readonly string[];
}

export interface Installed {
  /** Undefined when unknown. */
  readonly version: FoundVersion | undefined;
  /** How this host starts a server on these files, where known. */
  readonly launch: Launch | undefined;
  /** The Python that runs it, absolute; undefined when unknown or in a container. */
  readonly python: string | undefined;
}

/**
 * Which Synapse will run on a configuration: the one that a person named, else that of the unit, container or command
 * that starts it, else Debian's. Runs nothing of Synapse's. Throws `bad-usage` when what a person named has no Synapse.
 */
export async function installedSynapse(
  { synapse, startCommand, image, configPaths }: InstalledQuery,
  system: LaunchSystem,
): Promise<Installed> {
  const { files, machine, programs } = system;
  if (synapse !== undefined) {
    const python = await pythonAt(resolve(machine.folder, synapse), files);
    const version = python === undefined ? undefined : await versionFromEnvironment(python, files);
    if (version) return { version, python, launch: undefined };
    throw new MigrationError("bad-usage", `--synapse: there is no Synapse at ${synapse}`, {
      hint: "give its Python, or its virtual environment: /opt/venvs/matrix-synapse",
    });
  }
  const inImage = parseVersion(image ?? "");
  if (inImage)
    return { version: { version: inImage, from: "its image" }, python: undefined, launch: undefined };
  const { main } = await findLaunches(system);
  const launch = main.find((one) => hostPathsOf(one).some((path) => configPaths.includes(path)));
  const inCommand = pythonIn(startCommand ?? "");
  const python = launch?.map.length ? undefined : (launch?.program ?? inCommand ?? DEBIAN);
  const there = python !== undefined && isAbsolute(python) ? python : undefined;
  const version =
    imageVersion(launch) ??
    (there === undefined ? undefined : await versionFromEnvironment(there, files)) ??
    (await versionFromDpkg(programs));
  return { version, launch, python: there !== undefined && (await files.stat(there)) ? there : undefined };
}

/** Where the packages of packages.matrix.org have it. */
const DEBIAN = "/opt/venvs/matrix-synapse/bin/python";

function imageVersion(launch: Launch | undefined): FoundVersion | undefined {
  const version = parseVersion(launch?.version ?? "");
  return version && { version, from: `the image of ${launch!.from}` };
}

async function pythonAt(path: string, files: Files): Promise<string | undefined> {
  const found = await files.stat(path);
  if (found?.kind === "file") return path;
  for (const name of ["bin/python3", "bin/python"]) {
    if ((await files.stat(resolve(path, name)))?.kind === "file") return resolve(path, name);
  }
  return undefined;
}

/** The program of a virtual environment in a given command. */
const pythonIn = (command: string) =>
  /(?:^|[\s"'=])(\/[^\s"';&|]*\/bin\/(?:python[\d.]*|synapse_homeserver|synctl))/.exec(command)?.[1];
