import type { ConnectionArgs, DatabaseSetting, Settings, ToHostPath } from "../homeserver.ts";
import { isMapping } from "../settings.ts";

/**
 * Where the database is, by the rules of synapse/config/database.py: one of `database`, `databases` and the old
 * `database_path`, which wins over a `database` that is SQLite and is ignored beside one that is not.
 * Errors are added to `faults`; the result must then not be used.
 */
export function databaseSetting(settings: Settings, placeOf: ToHostPath, faults: string[]): DatabaseSetting {
  const { database, databases, database_path: oldPath } = settings;
  if (databases) {
    if (database) faults.push("database and databases are both set, Synapse takes only one");
    if (oldPath) faults.push("database_path and databases are both set, Synapse takes only one");
    if (!isMapping(databases)) faults.push("databases is not a mapping of labels");
    return isMapping(databases)
      ? databaseOfLabels(databases, placeOf, faults)
      : { kind: "several", labels: [] };
  }
  if (database && !(oldPath && engineOf(database) === "sqlite3"))
    return oneDatabase(database, "database", placeOf, faults);
  if (oldPath) return sqlite(oldPath, "database_path", placeOf, faults);
  faults.push("there is no database setting");
  return { kind: "several", labels: [] };
}

/** The settings whose `args` name the databases; `main` is undefined where `database_path` alone does. */
export function databaseKeys(settings: Settings): { main: string | undefined; state?: string } {
  const { database, databases } = settings;
  if (!isMapping(databases)) return { main: isMapping(database) ? "database" : undefined };
  const [main, state] = (["main", "state"] as const).map((store) => labelsWith(store, databases)[0]);
  return {
    main: main === undefined ? undefined : `databases.${main}`,
    ...(state === undefined || state === main ? {} : { state: `databases.${state}` }),
  };
}

/** A fault is whatever Synapse refuses to start with (synapse/storage/databases/__init__.py, `Databases`). */
function databaseOfLabels(
  databases: Readonly<Record<string, unknown>>,
  placeOf: ToHostPath,
  faults: string[],
): DatabaseSetting {
  const labels = Object.keys(databases);
  for (const store of ["main", "state"] as const) {
    const { length } = labelsWith(store, databases);
    if (length === 0) faults.push(`no label of databases has the data store ${store}`);
    if (length > 1) faults.push(`several labels of databases have the data store ${store}`);
  }
  const { main, state } = databaseKeys({ databases });
  const read = (key: string | undefined) =>
    key === undefined
      ? undefined
      : oneDatabase(databases[key.slice("databases.".length)], key, placeOf, faults);
  const [first, second] = [read(main), read(state)];
  if (state === undefined && first) return first;
  if (first?.kind !== "postgres" || second?.kind !== "postgres") return { kind: "several", labels };
  return { ...first, state: second.args };
}

/** Without `data_stores` a label has all of them. */
const labelsWith = (store: "main" | "state", databases: Readonly<Record<string, unknown>>) =>
  Object.entries(databases).flatMap(([label, block]) => {
    const stores = isMapping(block) ? block["data_stores"] : undefined;
    return stores == null || (Array.isArray(stores) && stores.includes(store)) ? [label] : [];
  });

const engineOf = (block: unknown) => (isMapping(block) ? (block["name"] ?? "sqlite3") : undefined);

function oneDatabase(
  block: unknown,
  setting: string,
  placeOf: ToHostPath,
  faults: string[],
): DatabaseSetting {
  const args = isMapping(block) ? (block["args"] ?? {}) : undefined;
  if (!isMapping(args)) {
    faults.push(`${setting} is not a mapping with args`);
    return { kind: "several", labels: [] };
  }
  const engine = engineOf(block);
  if (engine === "psycopg2")
    return { kind: "postgres", args: connectionArgs(args, setting, placeOf, faults) };
  if (engine === "sqlite3") return sqlite(args["database"], `${setting}.args.database`, placeOf, faults);
  faults.push(`${setting}.name is neither psycopg2 nor sqlite3`);
  return { kind: "several", labels: [] };
}

function sqlite(path: unknown, setting: string, placeOf: ToHostPath, faults: string[]): DatabaseSetting {
  if (typeof path !== "string" || path === "")
    faults.push(`${setting} does not name the file of the SQLite database`);
  else if (path === ":memory:") faults.push(`${setting} is a database in memory: there is nothing to move`);
  return { kind: "sqlite", path: placeOf(String(path)) };
}

/** Files that libpq opens, relative to the working directory of the program that connects: Synapse's. */
const PATH_ARGS = new Set(["passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl"]);

/** `host` is the folder of a socket when it begins with a slash, and `sslrootcert=system` names no file (libpq-connect). */
const isPath = (key: string, value: string) =>
  (key === "host" && value.startsWith("/")) ||
  (PATH_ARGS.has(key) && value !== "" && !(key === "sslrootcert" && value === "system"));

/** What Synapse hands to psycopg2: all but `cp_*`, which are for its connection pool. */
function connectionArgs(
  args: Record<string, unknown>,
  setting: string,
  placeOf: ToHostPath,
  faults: string[],
): ConnectionArgs {
  const given: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(args)) {
    // psycopg2 leaves out what is None.
    if (key.startsWith("cp_") || value === null) continue;
    if (typeof value === "string" && isPath(key, value)) given[key] = placeOf(value);
    else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
      given[key] = value;
    else if (typeof value === "bigint") given[key] = String(value);
    else faults.push(`${setting}.args.${key} is not a plain value`);
  }
  if ("dbname" in given && "database" in given) {
    faults.push(`${setting}.args has both dbname and database, psycopg2 takes only one`);
  }
  return given;
}
