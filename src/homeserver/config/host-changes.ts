import { basename, join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Settings } from "../homeserver.ts";
import { isMapping, settingAt, stepsOf } from "../settings.ts";
import { databaseKeys, databaseSetting } from "./database-setting.ts";
import type { FileRecord } from "./pack/packed-file.ts";
import { WORKER_SETTINGS } from "./worker-settings.ts";

/** The folder for the configuration on the new host, and the values that are specific to that host. */
export interface ConfigTarget {
  /** Absolute; nothing is written outside of it. */
  readonly folder: string;
  /** The same folder as Synapse sees it, where that differs: in a container. */
  readonly pathInContainer?: string | undefined;
  /** As Synapse sees it. */
  readonly mediaStore: string;
  /** The complete `args` of the new database, for PostgreSQL, or `{ database: path }` for SQLite. May contain a password. */
  readonly database: Readonly<Record<string, string | number>>;
  /** The same for the state database, where there is one. */
  readonly stateDatabase?: Readonly<Record<string, string | number>>;
  /** For the first listener that clients use; others are left alone. */
  readonly listen?: { readonly address: string; readonly port: number };
  readonly pidFile?: string | undefined;
  /** Absolute, as Synapse sees it; the folder of the configuration when undefined. */
  readonly logFolder?: string | undefined;
  /** Where clients find the server, when that changes. */
  readonly publicBaseurl?: string | undefined;
  /** The main process takes over the work of the workers. */
  readonly withoutWorkers?: boolean;
  /**
   * Whether the restored Synapse serves the media: true when matrix-media-repo's archives are restored into its store, false
   * when another program will; undefined when this is not known.
   */
  readonly servesMedia?: boolean | undefined;
  /** A supervisor (systemd, a container) keeps Synapse running, so it must not daemonize. */
  readonly supervised?: boolean;
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** The suffix of the first configuration file until the server may start: ".fenced". */
  readonly fencedSuffix: string;
}

/** A host-specific setting and its new value; undefined removes it. */
export interface SettingChange {
  /** As messages write it: `database.args.host`. */
  readonly setting: string;
  readonly value: unknown;
}

/** Every setting that must differ on the new host. Throws `database-unsupported` for several databases. */
export function hostChanges(
  settings: Settings,
  files: readonly FileRecord[],
  target: ConfigTarget,
): SettingChange[] {
  const changes = [
    ...databaseChanges(settings, target),
    { setting: "media_store_path", value: target.mediaStore },
    ...pathChanges(files, target.pathInContainer ?? target.folder),
    ...pidFile(settings, target),
    ...baseurl(target),
    ...(target.supervised && settings["daemonize"] === true
      ? [{ setting: "daemonize", value: undefined }]
      : []),
    ...(target.withoutWorkers ? workerChanges(settings) : []),
    // Without it Synapse has no endpoints for media, also for what is in its store.
    ...(target.servesMedia && !target.withoutWorkers && isMediaRepoOff(settings)
      ? [{ setting: "enable_media_repo", value: true }]
      : []),
    ...listenChanges(settings, target),
  ];
  return changes.filter(({ setting, value }) => settingAt(settings, setting) !== value);
}

/** Whether another program or a worker serves the media (synapse/config/server.py). */
export const isMediaRepoOff = (settings: Settings) => settings["enable_media_repo"] === false;

/** The change as lines of a diff. Values of a database connection that may be secret are hidden. */
export function describeChange(settings: Settings, { setting, value }: SettingChange): string[] {
  return diffLines(setting, shown(setting, settingAt(settings, setting)), shown(setting, value));
}

/** The old and the new value as lines of a diff; a missing value has no line. */
export const diffLines = (setting: string, before: string | undefined, now: string | undefined): string[] => [
  ...(before === undefined ? [] : [`- ${setting}: ${before}`]),
  ...(now === undefined ? [] : [`+ ${setting}: ${now}`]),
];

/** The only arguments of a database connection that are shown: any other may contain a password. */
const SHOWN_ARGS =
  /^(?:user|dbname|database|host|hostaddr|port|sslmode|sslcert|sslkey|sslrootcert|passfile|connect_timeout)$/;

function shown(setting: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const isArg = /^databases?\./.test(setting);
  if (isArg && !SHOWN_ARGS.test(setting.slice(setting.lastIndexOf(".") + 1))) return "<hidden>";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function databaseChanges(settings: Settings, { database, stateDatabase }: ConfigTarget): SettingChange[] {
  const old = databaseSetting(settings, (path) => path, []);
  if (old.kind === "several") {
    throw new MigrationError(
      "database-unsupported",
      "the configuration in the bundle names several databases, and not all of them are on PostgreSQL",
      {
        hint: "port both the main and the state database to PostgreSQL first",
      },
    );
  }
  const { main: key, state } = databaseKeys(settings);
  if (old.kind === "sqlite" && "dbname" in database) {
    const block = key ?? "database";
    return [
      ...(settings["database_path"] === undefined ? [] : [{ setting: "database_path", value: undefined }]),
      { setting: `${block}.name`, value: "psycopg2" },
      ...argsChanges(settings, block, database),
    ];
  }
  if (old.kind === "sqlite" && (key === undefined || settings["database_path"])) {
    return [{ setting: "database_path", value: database["database"] }];
  }
  return [
    ...argsChanges(settings, key!, database),
    ...(state === undefined || !stateDatabase ? [] : argsChanges(settings, state, stateDatabase)),
  ];
}

function argsChanges(settings: Settings, key: string, database: ConfigTarget["database"]): SettingChange[] {
  const given = settingAt(settings, `${key}.args`);
  // The settings of the connection pool stay; the address of the old database is removed.
  const gone = Object.keys(isMapping(given) ? given : {}).filter(
    (name) => !name.startsWith("cp_") && !(name in database),
  );
  return [
    ...gone.map((name) => ({ setting: `${key}.args.${name}`, value: undefined })),
    ...Object.entries(database).map(([name, value]) => ({ setting: `${key}.args.${name}`, value })),
  ];
}

/** Every setting that names a file in the bundle; files of the old database connection are not needed any more. */
function pathChanges(files: readonly FileRecord[], folder: string): SettingChange[] {
  const paths = new Map<string, string>();
  for (const { role, setting, name } of files) {
    if (role === "config" || /^databases?\./.test(setting)) continue;
    const within = role === "templates" ? name.split("/").slice(0, 2).join("/") : name;
    paths.set(setting, join(folder, within));
  }
  return [...paths].map(([setting, value]) => ({ setting, value }));
}

function pidFile(
  settings: Settings,
  { pidFile: path, folder, pathInContainer = folder }: ConfigTarget,
): SettingChange[] {
  const old = settings["pid_file"];
  if (path !== undefined) return [{ setting: "pid_file", value: path }];
  return typeof old === "string" && old !== ""
    ? [{ setting: "pid_file", value: join(pathInContainer, basename(old)) }]
    : [];
}

const baseurl = ({ publicBaseurl: value }: ConfigTarget): SettingChange[] =>
  value === undefined ? [] : [{ setting: "public_baseurl", value }];

/** Redis only connects workers: without workers the new host may have none. */
function workerChanges(settings: Settings): SettingChange[] {
  const gone = WORKER_SETTINGS.filter((setting) => settings[setting] !== undefined);
  const redis =
    settingAt(settings, "redis.enabled") === true ? [{ setting: "redis.enabled", value: false }] : [];
  return [...gone.map((setting) => ({ setting, value: undefined })), ...redis];
}

function listenChanges(settings: Settings, { listen }: ConfigTarget): SettingChange[] {
  const listeners = settings["listeners"];
  if (!listen || !Array.isArray(listeners)) return [];
  const position = listeners.findIndex(servesClients);
  if (position === -1) return [];
  const changed = {
    port: listen.port,
    bind_addresses: [listen.address],
    bind_address: undefined,
    path: undefined,
  };
  return Object.entries(changed).map(([key, value]) => ({ setting: `listeners[${position}].${key}`, value }));
}

function servesClients(listener: unknown): boolean {
  const resources = isMapping(listener) && listener["type"] === "http" ? listener["resources"] : undefined;
  if (!Array.isArray(resources)) return false;
  return resources.some(
    (one) => isMapping(one) && Array.isArray(one["names"]) && one["names"].includes("client"),
  );
}

/** Settings that name paths of the old host and are not rewritten: the paths on the new host are unknown. */
export const NOT_REWRITTEN = [
  "backup_media_store_path",
  "media_storage_providers[*].config.directory",
  "listeners[*].path",
  "instance_map.*.path",
  "redis.path",
  "redis.ca_path",
] as const;

export const editOf = ({ setting, value }: SettingChange) => ({ steps: stepsOf(setting), value });
