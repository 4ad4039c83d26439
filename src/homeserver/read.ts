import { dirname, join, resolve } from "node:path";
import { MigrationError } from "../errors.ts";
import type { Files } from "../system/files/files.ts";
import { databaseSetting } from "./config/database-setting.ts";
import { listenersOf } from "./config/listeners.ts";
import { findReferencedFiles, signingKeyOf } from "./config/referenced.ts";
import { readSecrets } from "./config/secrets.ts";
import { parseYaml, YamlSyntaxError } from "./config/yaml/yaml.ts";
import type { ConfigFile, Homeserver, Settings, ToHostPath } from "./homeserver.ts";
import { readMas } from "./mas/read.ts";
import { onThisHost, type PathPair } from "./path-map.ts";
import { isMapping } from "./settings.ts";

export interface ConfigSource {
  /** What Synapse is given with `-c`, in order: files and folders. Relative ones start at `workingFolder`. */
  readonly configPaths: readonly string[];
  /** Where Synapse's process runs. Absolute. */
  readonly workingFolder: string;
  /**
   * For a Synapse in a container: where its folders are on this host. All paths above and in the configuration are paths
   * in the container; a path without a mapping is used unchanged.
   */
  readonly map?: readonly PathPair[];
  /** What Synapse is given with `--keys-directory`, if anything: where its signing key is when no setting says so. */
  readonly keysFolder?: string | undefined;
  /** See `Homeserver`. */
  readonly databaseCommand?: readonly string[] | undefined;
  /** See `Homeserver`. */
  readonly databaseServer?: Readonly<Record<string, string>> | undefined;
  /** What its authentication service is given with `--config`, in order, if it is to be read too. */
  readonly masConfig?: readonly string[] | undefined;
  readonly signal?: AbortSignal;
}

/**
 * Reads a homeserver's configuration by Synapse's own rules (synapse/config/_base.py): later files replace whole
 * top-level settings of earlier ones, and relative paths start at the working folder. Only looks.
 *
 * Throws `config-unreadable` with all that is wrong in one list, or what reading a file throws.
 */
export async function readHomeserver(
  {
    configPaths,
    workingFolder,
    map = [],
    keysFolder,
    databaseCommand,
    databaseServer,
    masConfig,
    signal,
  }: ConfigSource,
  files: Files,
): Promise<Homeserver> {
  const faults: string[] = [];
  const placeOf: ToHostPath = (path) => onThisHost(resolve(workingFolder, path), map);
  const inside = configPaths.map((path) => resolve(workingFolder, path));
  const paths = inside.map(placeOf);
  const found = await filesIn(inside, placeOf, files, faults);
  const configFiles: ConfigFile[] = [];
  const parts: Settings[] = [];
  for (const path of found.map(placeOf)) {
    signal?.throwIfAborted();
    const read = await readMapping(path, files, faults);
    if (!read) continue;
    configFiles.push({ path, text: read.text, keys: Object.keys(read.settings) });
    parts.push(read.settings);
  }
  // Faults in the settings can only be found when all files were read.
  assertNoFaults(faults, paths);
  // An empty folder is fine beside a file with settings: Debian's conf.d may be one.
  if (parts.length === 0)
    faults.push("none of these files, and no *.yaml file in these folders, has a setting");
  assertNoFaults(faults, paths);

  const settings: Settings = Object.assign({}, ...parts) as Settings;
  const serverName = serverNameOf(settings, faults);
  if (!("report_stats" in settings))
    faults.push("report_stats is not set; Synapse does not start without it");
  const configFolder = keysFolder ?? dirname(found.at(-1)!);
  const signingKey = signingKeyOf(settings, serverName, configFolder, placeOf, faults);
  const homeserver: Homeserver = {
    serverName,
    configPaths: paths,
    configFiles,
    settings,
    configFolder: placeOf(configFolder),
    workingFolder: placeOf(workingFolder),
    map,
    signingKey,
    // A database command runs where folders differ from both Synapse's and this host's.
    database: databaseSetting(settings, databaseCommand ? (path) => path : placeOf, faults),
    ...(databaseCommand ? { databaseCommand } : {}),
    ...(databaseServer ? { databaseServer } : {}),
    mediaStore: mediaStoreOf(settings, placeOf, faults),
    listeners: listenersOf(settings, faults),
    secrets: await readSecrets(settings, placeOf, files, faults),
    referenced: findReferencedFiles(settings, signingKey, placeOf, faults),
  };
  assertNoFaults(faults, paths);
  if (!masConfig) return homeserver;
  const own = { configPaths: masConfig, placeOf: (path: string) => path, serverName, databaseCommand };
  return { ...homeserver, mas: await readMas(own, files) };
}

/** Bytes. No configuration is nearly as large, and a larger file would take the parser minutes. */
const LARGEST = 2 * 1024 * 1024;

/** The files to read, as Synapse's paths: of a folder its `*.yaml` files, sorted by name; any other path itself. */
async function filesIn(
  paths: readonly string[],
  placeOf: ToHostPath,
  files: Files,
  faults: string[],
): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    const here = placeOf(path);
    const kind = (await files.stat(here))?.kind;
    if (kind === undefined) faults.push(`there is no configuration file or folder at ${here}`);
    // Reading from a pipe may never end.
    if (kind === "other") {
      faults.push(`${here} is neither a file nor a folder`);
      continue;
    }
    if (kind !== "folder") {
      found.push(path);
      continue;
    }
    found.push(...(await filesOfFolder(path, placeOf, files)));
  }
  return found;
}

/** What Synapse reads where `-c` names a folder: its own `*.yaml` files, sorted by name. */
export async function filesOfFolder(path: string, placeOf: ToHostPath, files: Files): Promise<string[]> {
  const found: string[] = [];
  for (const name of await files.list(placeOf(path))) {
    const entry = join(path, name);
    const isFile = (await files.stat(placeOf(entry)))?.kind === "file";
    if (name.endsWith(".yaml") && isFile) found.push(entry);
  }
  return found;
}

/** Undefined for a file that Synapse ignores, because it is empty or not a mapping, and for one with a fault. */
async function readMapping(
  path: string,
  files: Files,
  faults: string[],
): Promise<{ text: string; settings: Settings } | undefined> {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await files.readWhole(path, LARGEST));
    const value = parseYaml(text);
    return isMapping(value) ? { text, settings: value } : undefined;
  } catch (error) {
    if (error instanceof YamlSyntaxError) faults.push(`${path}, ${error.message}`);
    else if (error instanceof TypeError) faults.push(`${path} is not written in UTF-8`);
    // A missing one is in the list already.
    else if (!(error instanceof MigrationError && error.code === "file-missing")) throw error;
    return undefined;
  }
}

function serverNameOf(settings: Settings, faults: string[]): string {
  const { server_name: name } = settings;
  if (typeof name === "string" && name !== "") return name;
  faults.push(name === undefined ? "server_name is not set" : "server_name is not a string");
  return "";
}

function mediaStoreOf(settings: Settings, placeOf: ToHostPath, faults: string[]): string {
  const { media_store_path: path = "media_store" } = settings;
  if (typeof path !== "string") faults.push("media_store_path is not a path");
  return placeOf(typeof path === "string" ? path : ".");
}

function assertNoFaults(faults: readonly string[], paths: readonly string[]): void {
  if (faults.length === 0) return;
  const list = faults.length === 1 ? faults[0]! : faults.map((fault) => `\n- ${fault}`).join("");
  throw new MigrationError(
    "config-unreadable",
    `cannot use the configuration in ${paths.join(", ")}: ${list}`,
    {
      hint: "give every -c that Synapse is started with, in the same order, and the folder it runs in",
    },
  );
}
