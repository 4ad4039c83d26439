import { basename, join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Settings } from "../homeserver.ts";
import { isMapping, settingAt, stepsOf } from "../settings.ts";
import { databaseKeys, databaseSetting } from "./database-setting.ts";
import { HANDED_OUT } from "./handed-out.ts";
import type { FileRecord } from "./pack/packed-file.ts";

/** Where the configuration is to live on the new host, and what belongs to that host. */
export interface ConfigTarget {
  /** Absolute; nothing is written outside of it. */
  readonly folder: string;
  /** The same folder as Synapse sees it, where that differs: in a container. */
  readonly seenAs?: string | undefined;
  /** As Synapse sees it. */
  readonly mediaStore: string;
  /** The whole of the new database's `args`, for PostgreSQL or `{ database: path }` for SQLite. May hold a password. */
  readonly database: Readonly<Record<string, string | number>>;
  /** The same of the state groups' database, where they have one of their own. */
  readonly stateDatabase?: Readonly<Record<string, string | number>>;
  /** For the first listener that clients use; others are left alone. */
  readonly listen?: { readonly address: string; readonly port: number };
  readonly pidFile?: string | undefined;
  /** Where clients find the server, when that changes. */
  readonly publicBaseurl?: string | undefined;
  /** The main process is to do itself what workers did. */
  readonly withoutWorkers?: boolean;
  /** Something else keeps it running, so it must not go into the background by itself. */
  readonly supervised?: boolean;
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** What the name of the first configuration ends in until the server may start: ".fenced". */
  readonly fencedSuffix: string;
}

/** A setting that is bound to the host, and its new value; undefined takes it away. */
export interface SettingChange {
  /** As messages write it: `database.args.host`. */
  readonly setting: string;
  readonly value: unknown;
}

/** Every setting that must differ on the new host. Throws `database-unsupported` for several databases. */
export function hostBound(
  settings: Settings,
  files: readonly FileRecord[],
  target: ConfigTarget,
): SettingChange[] {
  const changes = [
    ...databaseChanges(settings, target),
    { setting: "media_store_path", value: target.mediaStore },
    ...pathChanges(files, target.seenAs ?? target.folder),
    ...pidFile(settings, target),
    ...baseurl(target),
    ...(target.supervised && settings["daemonize"] === true
      ? [{ setting: "daemonize", value: undefined }]
      : []),
    ...(target.withoutWorkers ? workerChanges(settings) : []),
    ...listenChanges(settings, target),
  ];
  return changes.filter(({ setting, value }) => settingAt(settings, setting) !== value);
}

/** Lines for people, as a diff has them. What may be secret in the connection to a database is hidden. */
export function describe(settings: Settings, { setting, value }: SettingChange): string[] {
  return diffOf(setting, shown(setting, settingAt(settings, setting)), shown(setting, value));
}

/** What was there, and what is there now; a side that has nothing has no line. */
export const diffOf = (setting: string, before: string | undefined, now: string | undefined): string[] => [
  ...(before === undefined ? [] : [`- ${setting}: ${before}`]),
  ...(now === undefined ? [] : [`+ ${setting}: ${now}`]),
];

/** Of a database's args, these alone are shown: any other may be a password or hold one. */
const HARMLESS =
  /^(?:user|dbname|database|host|hostaddr|port|sslmode|sslcert|sslkey|sslrootcert|passfile|connect_timeout)$/;

function shown(setting: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const isArg = /^databases?\./.test(setting);
  if (isArg && !HARMLESS.test(setting.slice(setting.lastIndexOf(".") + 1))) return "<hidden>";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function databaseChanges(settings: Settings, { database, stateDatabase }: ConfigTarget): SettingChange[] {
  const old = databaseSetting(settings, (path) => path, []);
  if (old.kind === "several") {
    throw new MigrationError(
      "database-unsupported",
      "the configuration in the bundle names several databases, not all of them on PostgreSQL",
      {
        hint: "give both the main and the state database to PostgreSQL first",
      },
    );
  }
  const { main: key, state } = databaseKeys(settings);
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
  // The pool's own settings stay; all that says where the old database was goes.
  const gone = Object.keys(isMapping(given) ? given : {}).filter(
    (name) => !name.startsWith("cp_") && !(name in database),
  );
  return [
    ...gone.map((name) => ({ setting: `${key}.args.${name}`, value: undefined })),
    ...Object.entries(database).map(([name, value]) => ({ setting: `${key}.args.${name}`, value })),
  ];
}

/** Every setting that names a file which was carried; those of the old database's connection went with it. */
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
  { pidFile: path, folder, seenAs = folder }: ConfigTarget,
): SettingChange[] {
  const old = settings["pid_file"];
  if (path !== undefined) return [{ setting: "pid_file", value: path }];
  return typeof old === "string" && old !== ""
    ? [{ setting: "pid_file", value: join(seenAs, basename(old)) }]
    : [];
}

const baseurl = ({ publicBaseurl: value }: ConfigTarget): SettingChange[] =>
  value === undefined ? [] : [{ setting: "public_baseurl", value }];

/** Redis is for talking to workers only; without any it may be gone from the new host. */
function workerChanges(settings: Settings): SettingChange[] {
  const gone = HANDED_OUT.filter((setting) => settings[setting] !== undefined);
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

/** Settings that name places of the old host and are left as they are: nobody can tell where these are on the new one. */
export const LEFT_ALONE = [
  "backup_media_store_path",
  "media_storage_providers[*].config.directory",
  "listeners[*].path",
  "instance_map.*.path",
  "redis.path",
  "redis.ca_path",
] as const;

export const editOf = ({ setting, value }: SettingChange) => ({ steps: stepsOf(setting), value });
