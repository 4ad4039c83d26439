import { MigrationError, reasonOf } from "../../errors.ts";
import { parseConnection } from "../../system/conninfo.ts";
import type { Files } from "../../system/files.ts";
import type { Machine } from "../../system/machine.ts";
import {
  isLocalSocket,
  type ConnectOptions,
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
} from "../../system/postgres.ts";
import type { ConnectionArgs, Homeserver } from "../homeserver.ts";
import type { Store } from "./store.ts";

/** psycopg2's own arguments: they are not libpq's (psycopg2, `connect`). */
const NOT_LIBPQ = new Set(["dsn", "connection_factory", "cursor_factory", "async", "async_"]);

/** Where Synapse's database is, by its own settings. Throws `database-unsupported` for what cannot be moved yet. */
export function databaseAddress({ database, serverName, databaseCommand }: Homeserver): PostgresAddress {
  if (database.kind === "sqlite") {
    throw new MigrationError(
      "database-unsupported",
      `${serverName} keeps its database in SQLite, at ${database.path}`,
      {
        hint: "port it to PostgreSQL first, with Synapse's synapse_port_db",
      },
    );
  }
  if (database.kind === "several") {
    throw new MigrationError(
      "database-unsupported",
      `${serverName} has several databases (${database.labels.join(", ")}), not all of them on PostgreSQL`,
      {
        hint: "give both the main and the state database to PostgreSQL first",
      },
    );
  }
  return addressIn(database.args, databaseCommand);
}

/** Where the state groups are, if they have a database of their own. */
export function stateAddress({ database, databaseCommand }: Homeserver): PostgresAddress | undefined {
  return database.kind === "postgres" && database.state
    ? addressIn(database.state, databaseCommand)
    : undefined;
}

/** Where one of its databases is; undefined where it has none such in PostgreSQL. */
export function addressOfStore(store: Store, homeserver: Homeserver): PostgresAddress | undefined {
  if (store === "mas") return homeserver.mas?.address;
  if (store === "state") return stateAddress(homeserver);
  return homeserver.database.kind === "postgres" ? databaseAddress(homeserver) : undefined;
}

function addressIn(args: ConnectionArgs, databaseCommand: readonly string[] | undefined): PostgresAddress {
  const { dsn } = args;
  const parameters: Record<string, string> = typeof dsn === "string" ? parseConnection(dsn) : {};
  // psycopg2 merges like this: keyword arguments win over the dsn (psycopg2/extensions.py, make_dsn).
  for (const [key, value] of Object.entries(args)) {
    // psycopg2 still takes the name that libpq's dbname had in its first versions.
    if (!NOT_LIBPQ.has(key)) parameters[key === "database" ? "dbname" : key] = String(value);
  }
  return { ...addressOf(parameters), ...(databaseCommand ? { through: databaseCommand } : {}) };
}

/** Splits off what must not be seen. Throws `bad-usage` for a secret that libpq takes on the command line only. */
export function addressOf({ password, ...parameters }: Record<string, string>): PostgresAddress {
  if (parameters["sslpassword"] !== undefined) {
    throw new MigrationError(
      "bad-usage",
      "the database settings have an sslpassword, which cannot be handed to pg_dump unseen",
      {
        hint: "use a client key without a passphrase, readable by its owner only",
      },
    );
  }
  return { parameters, ...(password === undefined ? {} : { password }) };
}

/** As Synapse's `database.args` has an address. */
export function synapseArgs({ parameters, password }: PostgresAddress): Record<string, string | number> {
  const args: Record<string, string | number> = { ...parameters };
  if (/^\d+$/.test(parameters["port"] ?? "")) args["port"] = Number(parameters["port"]);
  if (password !== undefined) args["password"] = password;
  return args;
}

/**
 * The address with the account to use it as. Peer authentication goes by the account that asks, and Synapse's is seldom
 * ours: as root, the others named are tried in turn where who asks may matter, so by a socket of this host, or without a
 * password that the address names. Throws what the first attempt said when none of them may.
 */
export async function asWhoMay(
  address: PostgresAddress,
  names: readonly (string | undefined)[],
  { postgres, machine }: { postgres: Postgres; machine: Machine },
): Promise<PostgresAddress> {
  // Whom a command that leads elsewhere enters as is its own business.
  const mayMatter = !address.through && (isLocalSocket(address) || address.password === undefined);
  const accounts =
    machine.isRoot && mayMatter
      ? names.flatMap((name) => (name === undefined ? [] : (machine.account(name) ?? [])))
      : [];
  let refusal: unknown;
  for (const one of [address, ...accounts.map((account) => ({ ...address, account }))]) {
    try {
      await (await postgres.connect(one)).close();
      return one;
    } catch (error) {
      refusal ??= error;
      if (!mayDependOnWhoAsks(error)) return one;
    }
  }
  throw refusal;
}

/** Not where nobody answers; and a database that is not there yet was found out by this very account. */
function mayDependOnWhoAsks(error: unknown): boolean {
  const reason = reasonOf(error, "no-connection");
  if (reason === undefined || reason.database === "missing") return false;
  return reason.server === "refuses" || reason.server === "unknown";
}

/** Connects; as root, if need be, as the account named like the database user or the one that owns the media store. */
export async function connect(
  address: PostgresAddress,
  system: { postgres: Postgres; machine: Machine; files: Files },
  mediaStore?: string,
  options?: ConnectOptions,
): Promise<{ session: PostgresSession; address: PostgresAddress }> {
  const owner = mediaStore === undefined ? undefined : await system.files.follow(mediaStore);
  // getent answers to a number as well as to a name.
  const names = [address.parameters["user"], owner && owner.uid !== 0 ? String(owner.uid) : undefined];
  const may = await asWhoMay(address, names, system);
  return { session: await system.postgres.connect(may, options), address: may };
}
