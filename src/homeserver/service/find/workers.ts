import { dirname, join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import { findWorkerNames } from "../../config/worker-settings.ts";
import { parseYaml, YamlSyntaxError } from "../../config/yaml/yaml.ts";
import type { Homeserver, Settings } from "../../homeserver.ts";
import { isMapping } from "../../settings.ts";
import { type FoundLaunches, hostPathsOf, type Launch } from "./launch.ts";

/** A worker process. */
export interface Worker {
  readonly name: string;
  /** Its own file on this host; undefined when it is only known from settings or a process. */
  readonly configPath: string | undefined;
  /** The settings in that file; undefined when it cannot be read. */
  readonly settings: Settings | undefined;
  readonly isRunning: boolean;
  /** Where it is known from, in words. */
  readonly from: readonly string[];
}

export interface FoundWorkers {
  readonly workers: readonly Worker[];
  /** Names that the settings assign work to, and that were found nowhere else. */
  readonly unknown: readonly string[];
}

/** Where Synapse's documentation has their files: docs/systemd-with-workers. */
const FOLDER = "/etc/matrix-synapse/workers";

/** The workers of a homeserver: from units, containers and processes, from their own files, and from the settings. Only looks. */
export async function findWorkers(
  homeserver: Homeserver,
  found: FoundLaunches,
  files: Files,
  root = "/",
): Promise<FoundWorkers> {
  const workers: Worker[] = [];
  const add = (worker: Worker) => {
    const at = workers.findIndex(
      ({ name, configPath }) => name === worker.name || (configPath && configPath === worker.configPath),
    );
    const before = workers[at];
    if (!before) workers.push(worker);
    else {
      workers[at] = {
        name: before.settings ? before.name : worker.name,
        configPath: before.configPath ?? worker.configPath,
        settings: before.settings ?? worker.settings,
        isRunning: before.isRunning || worker.isRunning,
        from: [...before.from, ...worker.from],
      };
    }
  };
  for (const launch of found.workers.filter((one) => belongsToServer(one, homeserver, found)))
    add(await started(launch, homeserver, files));
  const folders = new Set([
    join(root, FOLDER),
    ...homeserver.configFiles.map(({ path }) => join(dirname(path), "workers")),
    ...workers.flatMap(({ configPath }) => (configPath === undefined ? [] : [dirname(configPath)])),
  ]);
  for (const folder of folders) for (const worker of await describedIn(folder, files)) add(worker);
  const named = findWorkerNames(homeserver.settings);
  return { workers, unknown: named.filter((name) => !workers.some((worker) => worker.name === name)) };
}

/** Whether a worker belongs to this server: it reads the same files, or there is no other server here. */
export function belongsToServer(
  launch: Launch,
  { configPaths, configFiles }: Homeserver,
  { main }: FoundLaunches,
): boolean {
  const ours = [...configPaths, ...configFiles.map(({ path }) => path)];
  return hostPathsOf(launch).some((path) => ours.includes(path.replace(/\/$/, ""))) || main.length <= 1;
}

async function started(launch: Launch, { configPaths }: Homeserver, files: Files): Promise<Worker> {
  const own = hostPathsOf(launch).filter((path) => !configPaths.includes(path.replace(/\/$/, "")));
  const configPath = own.at(-1);
  const settings = configPath === undefined ? undefined : await mappingIn(configPath, files);
  const name = settings?.["worker_name"];
  return {
    name: typeof name === "string" ? name : (/@(.+)\.service$/.exec(launch.name)?.[1] ?? launch.name),
    configPath,
    settings,
    isRunning: launch.isRunning,
    from: [launch.from],
  };
}

async function describedIn(folder: string, files: Files): Promise<Worker[]> {
  const workers: Worker[] = [];
  for (const path of await yamlIn(folder, files)) {
    const settings = await mappingIn(path, files);
    const { worker_name: name, worker_app: app } = settings ?? {};
    if (typeof app !== "string" || app === "synapse.app.homeserver") continue;
    workers.push({
      name: typeof name === "string" ? name : app,
      configPath: path,
      settings,
      isRunning: false,
      from: [`the file ${path}`],
    });
  }
  return workers;
}

/** synapse/config/workers.py: all settings that hold names of workers. "master" and "main" are the main process. */
async function yamlIn(folder: string, files: Files): Promise<string[]> {
  try {
    const names = await files.list(folder);
    return names.filter((name) => name.endsWith(".yaml")).map((name) => join(folder, name));
  } catch (error) {
    if (error instanceof MigrationError) return [];
    throw error;
  }
}

async function mappingIn(path: string, files: Files): Promise<Settings | undefined> {
  try {
    const value = parseYaml(await files.readText(path));
    return isMapping(value) ? value : undefined;
  } catch (error) {
    if (error instanceof MigrationError || error instanceof YamlSyntaxError) return undefined;
    throw error;
  }
}
