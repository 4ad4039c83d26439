import { MigrationError, reasonOf } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";
import type { Machine } from "../../system/machine.ts";
import { parseConnection } from "../../system/postgres/conninfo.ts";
import {
  type ConnectOptions,
  isLocalSocket,
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
} from "../../system/postgres/postgres.ts";
import type { ConnectionArgs, Homeserver } from "../homeserver.ts";
import type { Store } from "./store.ts";

/** psycopg2's own arguments: they are not libpq's (psycopg2, `connect`). */
const NOT_LIBPQ = new Set(["dsn", "connection_factory", "cursor_factory", "async", "async_"]);

/** Parameters that say where a server is. */
const PLACE = ["host", "hostaddr", "port"];

/** The address of Synapse's database, from its own settings. Throws `database-unsupported` for what cannot be moved yet. */
export function databaseAddress(homeserver: Homeserver): PostgresAddress {
  const { database, serverName } = homeserver;
  if (database.kind === "sqlite") {
    throw new MigrationError(
      "database-unsupported",
      `${serverName} keeps its database in SQLite, at ${database.path}`,
      {
        hint: "port it to PostgreSQL first: synlift port",
      },
    );
  }
  if (database.kind === "several") {
    throw new MigrationError(
      "database-unsupported",
      `${serverName} has several databases (${database.labels.join(", ")}), not all of them on PostgreSQL`,
      {
        hint: "port both the main and the state database to PostgreSQL first",
      },
    );
  }
  return addressIn(database.args, homeserver);
}

/** The address of the state database, if there is one. */
export function stateAddress(homeserver: Homeserver): PostgresAddress | undefined {
  const { database } = homeserver;
  return database.kind === "postgres" && database.state ? addressIn(database.state, homeserver) : undefined;
}

/** The address of one of its databases; undefined where it has no such database in PostgreSQL. */
export function addressOfStore(store: Store, homeserver: Homeserver): PostgresAddress | undefined {
  if (store === "mas") return homeserver.mas?.address;
  if (store === "state") return stateAddress(homeserver);
  return homeserver.database.kind === "postgres" ? databaseAddress(homeserver) : undefined;
}

function addressIn(
  args: ConnectionArgs,
  { databaseCommand, databaseServer }: Pick<Homeserver, "databaseCommand" | "databaseServer">,
): PostgresAddress {
  const { dsn } = args;
  const parameters: Record<string, string> = typeof dsn === "string" ? parseConnection(dsn) : {};
  // psycopg2 merges like this: keyword arguments win over the dsn (psycopg2/extensions.py, make_dsn).
  for (const [key, value] of Object.entries(args)) {
    // psycopg2 still takes the name that libpq's dbname had in its first versions.
    if (!NOT_LIBPQ.has(key)) parameters[key === "database" ? "dbname" : key] = String(value);
  }
  const isKept = ([name]: [string, string]) => databaseServer === undefined || !PLACE.includes(name);
  const all = { ...Object.fromEntries(Object.entries(parameters).filter(isKept)), ...databaseServer };
  return { ...addressOf(throughFence(all)), ...(databaseCommand ? { commandPrefix: databaseCommand } : {}) };
}

/**
 * The sessions of a fenced role are read-only, which libpq's "read-write" takes for those of a standby: what was fenced could
 * neither be dumped nor freed again. "primary" (libpq 14) finds the same server, and looks only at what it is.
 */
export const throughFence = (parameters: Record<string, string>): Record<string, string> =>
  parameters["target_session_attrs"] === "read-write"
    ? { ...parameters, target_session_attrs: "primary" }
    : parameters;

/** Separates the password from the parameters. Throws `bad-usage` for a secret that libpq accepts on the command line only. */
export function addressOf({ password, ...parameters }: Record<string, string>): PostgresAddress {
  if (parameters["sslpassword"] !== undefined) {
    throw new MigrationError(
      "bad-usage",
      "the database settings have an sslpassword, which cannot be passed to pg_dump without being visible to other users",
      {
        hint: "use a client key without a passphrase, readable by its owner only",
      },
    );
  }
  return { parameters, ...(password === undefined ? {} : { password }) };
}

/** The address in the form of Synapse's `database.args`. */
export function synapseArgs({ parameters, password }: PostgresAddress): Record<string, string | number> {
  const args: Record<string, string | number> = { ...parameters };
  if (/^\d+$/.test(parameters["port"] ?? "")) args["port"] = Number(parameters["port"]);
  if (password !== undefined) args["password"] = password;
  return args;
}

/**
 * The address with the operating system account to connect as. Peer authentication checks that account, and Synapse's is
 * seldom ours: as root, the accounts in `names` are tried in turn where the account can matter, which is on a socket of
 * this host, or when the address has no password. Throws the error of the first attempt when none is permitted.
 */
export async function withPermittedAccount(
  address: PostgresAddress,
  names: readonly (string | undefined)[],
  { postgres, machine }: { postgres: Postgres; machine: Machine },
): Promise<PostgresAddress> {
  // A command that runs psql elsewhere decides on its account itself.
  const accountMatters = !address.commandPrefix && (isLocalSocket(address) || address.password === undefined);
  const accounts =
    machine.isRoot && accountMatters
      ? names.flatMap((name) => (name === undefined ? [] : (machine.account(name) ?? [])))
      : [];
  let refusal: unknown;
  for (const one of [address, ...accounts.map((account) => ({ ...address, account }))]) {
    try {
      await (await postgres.connect(one)).close();
      return one;
    } catch (error) {
      refusal ??= error;
      if (!mayDependOnAccount(error)) return one;
    }
  }
  throw refusal;
}

/** Not when the server does not respond; and when the database is missing, this account could already log in. */
function mayDependOnAccount(error: unknown): boolean {
  const reason = reasonOf(error, "no-connection");
  if (reason === undefined || reason.database === "missing") return false;
  return reason.server === "accepting" || reason.server === "unknown";
}

/** Connects; as root, if need be, as the account named like the database user or the one that owns the media store. */
export async function connect(
  address: PostgresAddress,
  system: { postgres: Postgres; machine: Machine; files: Files },
  mediaStore?: string,
  options?: ConnectOptions,
): Promise<{ session: PostgresSession; address: PostgresAddress }> {
  const owner = mediaStore === undefined ? undefined : await system.files.stat(mediaStore);
  // getent answers to a number as well as to a name.
  const names = [address.parameters["user"], owner && owner.uid !== 0 ? String(owner.uid) : undefined];
  const may = await withPermittedAccount(address, names, system);
  return { session: await system.postgres.connect(may, options), address: may };
}
