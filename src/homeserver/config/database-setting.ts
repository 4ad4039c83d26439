import type { DatabaseSetting, PlaceOf, Settings } from "../homeserver.ts";
import { isMapping } from "./setting.ts";

/**
 * Where the database is, by the rules of synapse/config/database.py: one of `database`, `databases` and the old
 * `database_path`, which wins over a `database` that is SQLite and is ignored beside one that is not.
 * What is wrong goes into `faults`; the answer is then of no use.
 */
export function databaseSetting(settings: Settings, placeOf: PlaceOf, faults: string[]): DatabaseSetting {
  const { database, databases, database_path: oldPath } = settings;
  if (databases) {
    if (database) faults.push("database and databases are both set, Synapse takes only one");
    if (oldPath) faults.push("database_path and databases are both set, Synapse takes only one");
    if (!isMapping(databases)) faults.push("databases is not a mapping of labels");
    const labels = isMapping(databases) ? Object.keys(databases) : [];
    const only = labels.length === 1 && isMapping(databases) ? databases[labels[0]!] : undefined;
    return only === undefined
      ? { kind: "several", labels }
      : oneDatabase(only, `databases.${labels[0]!}`, placeOf, faults);
  }
  if (database && !(oldPath && engineOf(database) === "sqlite3"))
    return oneDatabase(database, "database", placeOf, faults);
  if (oldPath) return sqlite(oldPath, "database_path", placeOf, faults);
  faults.push("there is no database setting");
  return { kind: "several", labels: [] };
}

/** The setting whose `args` name the database; undefined where `database_path` alone does. */
export function databaseKey(settings: Settings): string | undefined {
  if (isMapping(settings["databases"])) return `databases.${Object.keys(settings["databases"])[0]!}`;
  return isMapping(settings["database"]) ? "database" : undefined;
}

const engineOf = (block: unknown) => (isMapping(block) ? (block["name"] ?? "sqlite3") : undefined);

function oneDatabase(block: unknown, setting: string, placeOf: PlaceOf, faults: string[]): DatabaseSetting {
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

function sqlite(path: unknown, setting: string, placeOf: PlaceOf, faults: string[]): DatabaseSetting {
  if (typeof path !== "string" || path === "")
    faults.push(`${setting} does not name the file of the SQLite database`);
  else if (path === ":memory:") faults.push(`${setting} is a database in memory: there is nothing to move`);
  return { kind: "sqlite", path: placeOf(String(path)) };
}

/** What libpq takes for a path when it begins with a slash; `host` is then the folder of a socket. */
const PLACES = new Set(["host", "passfile", "sslcert", "sslkey", "sslrootcert"]);

/** What Synapse hands to psycopg2: all but `cp_*`, which are for its connection pool. */
function connectionArgs(
  args: Record<string, unknown>,
  setting: string,
  placeOf: PlaceOf,
  faults: string[],
): Record<string, string | number | boolean> {
  const given: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(args)) {
    // psycopg2 leaves out what is None.
    if (key.startsWith("cp_") || value === null) continue;
    // Relative ones are libpq's business, whose working folder is not Synapse's when another program connects.
    if (typeof value === "string" && PLACES.has(key) && value.startsWith("/")) given[key] = placeOf(value);
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
