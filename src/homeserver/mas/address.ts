import { MigrationError } from "../../errors.ts";
import { parseConnection } from "../../system/postgres/conninfo.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import { addressOf, throughFence } from "../database/address.ts";
import type { Settings, ToHostPath } from "../homeserver.ts";
import { isMapping } from "../settings.ts";

/** The service's settings and the libpq keywords they correspond to. */
const KEYWORDS = [
  ["host", "host"],
  ["socket", "host"],
  ["port", "port"],
  ["username", "user"],
  ["password", "password"],
  ["database", "dbname"],
  ["ssl_mode", "sslmode"],
  ["ssl_ca_file", "sslrootcert"],
  ["ssl_certificate_file", "sslcert"],
  ["ssl_key_file", "sslkey"],
] as const;
const PATHS = /^(?:socket|ssl_\w+_file)$/;

/** Every setting of the database's address; the others configure the service's connection pool. */
export const CONNECTION: readonly string[] = [
  ...["uri", "password_file", "ssl_ca", "ssl_certificate", "ssl_key"],
  ...KEYWORDS.map(([name]) => name),
];

/** Where the service's database is: `database.uri`, or each part by itself. Throws `database-unsupported`. */
export function masAddress(
  settings: Settings,
  placeOf: ToHostPath,
  databaseCommand: readonly string[] | undefined,
): PostgresAddress {
  const block = settings["database"];
  const database = isMapping(block) ? block : {};
  const inline = ["ssl_ca", "ssl_certificate", "ssl_key"].filter((name) => database[name] != null);
  if (inline.length > 0) {
    throw new MigrationError(
      "database-unsupported",
      `the authentication service has ${inline.map((name) => `database.${name}`).join(" and ")} inline in its settings`,
      { hint: "move them to files (ssl_ca_file and so on): psql and pg_dump only read files" },
    );
  }
  const { uri } = database;
  const parameters: Record<string, string> = typeof uri === "string" ? parseConnection(uri) : {};
  for (const [name, keyword] of KEYWORDS) {
    const value = database[name];
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "bigint") continue;
    parameters[keyword] = PATHS.test(name) && !databaseCommand ? placeOf(String(value)) : String(value);
  }
  return {
    ...addressOf(throughFence(parameters)),
    ...(databaseCommand ? { commandPrefix: databaseCommand } : {}),
  };
}

/** An address as the service's settings have it. May hold a password. */
export function masArgs({ parameters, password }: PostgresAddress): Record<string, string | number> {
  const args: Record<string, string | number> = {};
  for (const [name, keyword] of KEYWORDS) {
    const value = keyword === "password" ? password : parameters[keyword];
    if (value === undefined) continue;
    // A folder is a unix socket's.
    if (keyword === "host" && value.startsWith("/") !== (name === "socket")) continue;
    args[name] = name === "port" ? Number(value) : value;
  }
  return args;
}
