import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";
import { findLaunches } from "../service/find/find.ts";
import { hostPathsOf, type Launch, type LaunchSystem } from "../service/find/launch.ts";
import { unitsStartedBy } from "../service/started-units.ts";
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
  /** Whether it is in a container's image. */
  readonly inImage?: boolean;
}

/**
 * Which Synapse will run on a configuration: the one that a person named, else that of the unit, container or command
 * that starts it, else that of one of Debian's packages, below `root`. Runs nothing of Synapse's. Throws `bad-usage` when what a person named has no Synapse.
 */
export async function installedSynapse(
  { synapse, startCommand, image, configPaths }: InstalledQuery,
  system: LaunchSystem,
  root = "/",
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
    return {
      version: { version: inImage, from: "its image" },
      python: undefined,
      launch: undefined,
      inImage: true,
    };
  const { main } = await findLaunches(system, root);
  const launch = main.find((one) => hostPathsOf(one).some((path) => configPaths.includes(path)));
  if (launch?.map.length) return { version: imageVersion(launch), launch, python: undefined, inImage: true };
  const startedUnits = unitsStartedBy(startCommand ?? "");
  const unit = main.find(
    ({ kind, name, map }) => kind === "unit" && map.length === 0 && startedUnits.includes(name),
  );
  const named = [launch?.program, pythonIn(startCommand ?? ""), unit?.program];
  // A launch that names its program does not use a package's.
  for (const program of launch?.program === undefined
    ? [...named, ...PACKAGED.map((path) => join(root, path))]
    : named) {
    const python = await pythonOf(program, files);
    const version = python === undefined ? undefined : await versionFromEnvironment(python, files);
    if (version) return { version, launch, python };
  }
  const version = imageVersion(launch) ?? (await versionFromDpkg(programs));
  return { version, launch, python: await pythonOf(launch?.program, files) };
}

/** The Python of the packages of packages.matrix.org, and the one that Debian's own package uses. */
const PACKAGED = ["/opt/venvs/matrix-synapse/bin/python", "/usr/bin/python3"];

/** The Python of a virtual environment's console script stands beside it. Undefined where it does not exist. */
export async function pythonOf(program: string | undefined, files: Files): Promise<string | undefined> {
  if (program === undefined || !isAbsolute(program)) return undefined;
  if (/^python[\d.]*$/.test(basename(program))) return (await files.stat(program)) ? program : undefined;
  for (const name of ["python3", "python"]) {
    const beside = resolve(dirname(program), name);
    if ((await files.stat(beside))?.kind === "file") return beside;
  }
  return undefined;
}

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
