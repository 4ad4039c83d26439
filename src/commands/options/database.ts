import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError, reasonOf } from "../../errors.ts";
import { addressOf, withPermittedAccount } from "../../homeserver/database/address.ts";
import type { RoleOrder } from "../../homeserver/database/role/create.ts";
import { type GeneratedPasswords, hasUser, planRole } from "../../homeserver/database/role/order.ts";
import { type DatabaseTarget, sqlitePathIn } from "../../homeserver/database/target.ts";
import type { ChosenLayout } from "../../move/restore/layouts/choose.ts";
import { COMPOSE_DATABASE, composePassword } from "../../move/restore/layouts/compose.ts";
import { secretLine } from "../../system/files/secret-line.ts";
import { parseConnection } from "../../system/postgres/conninfo.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import { splitShellWords } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";

export const DATABASE_COMMAND = {
  flags: "--database-command <command>",
  about:
    "command prefix that runs psql and pg_dump where they can reach the database: 'docker exec -i postgres'",
  schema: { databaseCommand: z.string().transform(commandOf).optional() },
};

export const DATABASE_SERVER = {
  flags: "--database-server <address>",
  about:
    "where the database server itself is, if the configuration names a connection pooler: 'host=… port=…'",
  schema: { databaseServer: z.string().transform(serverOf).optional() },
};

export const MAS_CONFIG = {
  flags: "--mas-config <file>",
  about:
    "configuration file of its Matrix Authentication Service, if it is not found; once for each --config, in the same order",
  many: true,
  schema: { masConfig: z.array(z.string()).default([]) },
};

/** Parses a database's address; the password comes from a file, because every user can read command lines. */
export async function parseDatabaseAddress(
  text: string,
  passwordFile: string | undefined,
  { files, machine }: System,
  option = "--database",
): Promise<PostgresAddress> {
  const { password, ...parameters } = parseConnection(text);
  if (password !== undefined) {
    throw new MigrationError(
      "bad-usage",
      `${option} holds a password, which every user of this host could read`,
      {
        hint: `put it into a file instead: ${option}-password-file`,
      },
    );
  }
  if (parameters["dbname"] === undefined)
    throw new MigrationError("bad-usage", `${option} has no dbname`, { hint: "add dbname=…" });
  const given = passwordFile === undefined ? undefined : secretLine(await files.readText(passwordFile));
  return addressOf({
    user: machine.user,
    ...parameters,
    ...(given === undefined ? {} : { password: given }),
  });
}

/** "docker exec -i postgres", word by word; no shell reads it. Throws `bad-usage`. */
function commandOf(text: string): string[] {
  const words = splitShellWords(text);
  if (words && words.length > 0) return words;
  throw new MigrationError("bad-usage", `--database-command: ${text} is not a command`, {
    hint: "write it as --database-command 'docker exec -i postgres'; it is not run by a shell, so variables and pipes do not work",
  });
}

/** "host=10.0.0.5 port=5432". Throws `bad-usage` for anything that is not about where the server is. */
function serverOf(text: string): Record<string, string> {
  const found = text.includes("=") ? parseConnection(text) : {};
  const names = Object.keys(found);
  if (names.length > 0 && names.every((name) => SERVER_PARAMETERS.includes(name))) return found;
  throw new MigrationError("bad-usage", "--database-server is not the address of a server", {
    hint: `write it as --database-server 'host=10.0.0.5 port=5432'; it takes ${SERVER_PARAMETERS.join(", ")}. User, password and database are those of the configuration`,
  });
}

const SERVER_PARAMETERS = ["host", "hostaddr", "port", "dbname", "sslmode", "sslrootcert"];

/** The databases on the new host. */
export interface TargetDatabases {
  readonly database: DatabaseTarget;
  /** Address of the main database from this host, where it differs from Synapse's. */
  readonly databaseHere: Readonly<Record<string, string>> | undefined;
  readonly stateDatabase: DatabaseTarget | undefined;
  /** What --create-role creates. */
  readonly roles: readonly RoleOrder[];
}

/** Where Synapse's databases are restored. */
export const DATABASE_OPTIONS = optionGroup({
  heading: "Database of the new server",
  options: [
    {
      flags: "--database <address>",
      about:
        "empty PostgreSQL database, or one that will be created: 'host=… user=… dbname=…', without password. For an SQLite database: sqlite:PATH, a new file. Required, except with --layout compose",
    },
    { flags: "--database-password-file <file>", about: "file that contains only that user's password" },
    {
      flags: "--state-database <address>",
      about: "a second empty database, if state groups had a separate one (databases:)",
    },
    { flags: "--state-database-password-file <file>", about: "file that contains only that user's password" },
    {
      flags: "--create-role",
      about:
        "as PostgreSQL's administrator, create the user and the database of --database and --state-database where they do not exist; the password comes from the password file, and if there is no such file, a random one is written to it. An existing user and its password stay as they are",
    },
    {
      flags: "--admin-database <address>",
      about: "with --create-role: how the administrator connects, without password: 'host=… user=… dbname=…'",
      default: "the user postgres through the socket of this host",
    },
    {
      flags: "--admin-database-password-file <file>",
      about: "file that contains only the administrator's password",
    },
    DATABASE_COMMAND,
  ],
  schema: {
    database: z.string().min(1).optional(),
    databasePasswordFile: z.string().optional(),
    stateDatabase: z.string().min(1).optional(),
    stateDatabasePasswordFile: z.string().optional(),
    createRole: z.boolean().default(false),
    adminDatabase: z.string().min(1).optional(),
    adminDatabasePasswordFile: z.string().optional(),
    ...DATABASE_COMMAND.schema,
  },
  /** Throws `bad-usage`, and errors of the database connection: as root, an account that PostgreSQL accepts is looked for. */
  async read(
    given,
    { compose, name }: Pick<ChosenLayout, "compose" | "name">,
    /** `offersRole` is false where --create-role is of no use. */
    { owner, offersRole = true }: { readonly owner: string | undefined; readonly offersRole?: boolean },
    system: System,
  ): Promise<TargetDatabases> {
    const { database, stateDatabase: state, databaseCommand: commandPrefix } = given;
    if (compose && database !== undefined)
      throw new MigrationError("bad-usage", "--layout compose has its own database: leave out --database");
    const roles = await rolesOf(given, compose !== undefined, system);
    const connection = { commandPrefix, owner, roles, offersRole: offersRole && name === "debian" };
    const stateDatabase =
      state === undefined
        ? undefined
        : await postgresTarget(
            "--state-database",
            { ...connection, text: state, passwordFile: given.stateDatabasePasswordFile },
            system,
          );
    if (compose) {
      const databaseHere = { host: "127.0.0.1", port: String(compose.databasePort) };
      const password = await composePassword(compose.folder, system.files, system.machine);
      const address = { parameters: { ...COMPOSE_DATABASE, ...databaseHere }, password };
      return { database: { engine: "postgres", address }, databaseHere, stateDatabase, roles: [] };
    }
    if (database === undefined)
      throw new MigrationError("bad-usage", "--database: must be given", {
        hint: "--help shows an example",
      });
    const path = sqlitePathIn(database, system.machine.folder);
    const main: DatabaseTarget =
      path === undefined
        ? await postgresTarget(
            "--database",
            { ...connection, text: database, passwordFile: given.databasePasswordFile },
            system,
          )
        : { engine: "sqlite", path };
    if (roles && main.engine === "sqlite")
      throw new MigrationError("bad-usage", "--create-role: an SQLite database has no users", {
        hint: "leave it out",
      });
    return { database: main, databaseHere: undefined, stateDatabase, roles: roles?.orders ?? [] };
  },
});

/** The database of the authentication service that is restored beside Synapse's. */
export const MAS_OPTIONS = optionGroup({
  heading: "Matrix Authentication Service",
  options: [
    {
      flags: "--mas-database <address>",
      about: "an empty database for the Matrix Authentication Service, if it is in the bundle",
    },
    { flags: "--mas-database-password-file <file>", about: "file that contains only that user's password" },
    { flags: "--no-mas", about: "do not restore the authentication service: it is moved by other means" },
  ],
  schema: {
    masDatabase: z.string().min(1).optional(),
    masDatabasePasswordFile: z.string().optional(),
    mas: z.boolean().default(true),
  },
  /** Throws `bad-usage`, and errors of the database connection. */
  async read(
    { masDatabase: text, masDatabasePasswordFile: passwordFile },
    connection: Connection,
    system: System,
  ): Promise<DatabaseTarget | undefined> {
    if (text === undefined) return undefined;
    return postgresTarget("--mas-database", { ...connection, text, passwordFile }, system);
  },
});

interface Connection {
  /** --database-command */
  readonly commandPrefix: string[] | undefined;
  /** --owner: an account that may connect where root may not. */
  readonly owner: string | undefined;
}

/** A database that is reached from this host without a command. Throws as `parseDatabaseAddress`, and errors of the connection. */
export async function postgresAddress(
  option: string,
  text: string,
  passwordFile: string | undefined,
  system: System,
): Promise<PostgresAddress> {
  const typed = await parseDatabaseAddress(text, passwordFile, system, option);
  return withPermittedAccount(typed, [typed.parameters["user"]], system);
}

async function postgresTarget(
  option: string,
  {
    text,
    passwordFile,
    commandPrefix,
    owner,
    roles,
    offersRole = false,
  }: Connection & {
    text: string;
    passwordFile: string | undefined;
    roles?: Roles | undefined;
    offersRole?: boolean;
  },
  system: System,
): Promise<DatabaseTarget> {
  const parsed = await parseDatabaseAddress(text, roles ? undefined : passwordFile, system, option);
  const typed: PostgresAddress = commandPrefix === undefined ? parsed : { ...parsed, commandPrefix };
  const accounts = [typed.parameters["user"], owner];
  if (!roles) {
    const permitted = withPermittedAccount(typed, accounts, system);
    return {
      engine: "postgres",
      address: await (offersRole
        ? permitted.catch((error: unknown) => offerRole(error, typed, system))
        : permitted),
    };
  }
  const order = await planRole(
    {
      by: "--create-role",
      option,
      typed,
      passwordFile: passwordFile === undefined ? undefined : resolve(system.machine.folder, passwordFile),
      administrator: roles.administrator,
      accounts,
    },
    roles.generated,
    system,
  );
  roles.orders.push(order);
  return { engine: "postgres", address: order.address };
}

/**
 * Throws the same error. Its hint names --create-role where the server that answers has no such user: its own words do not tell that from a
 * wrong password, so its administrator is asked, as --create-role would do.
 */
async function offerRole(error: unknown, typed: PostgresAddress, system: System): Promise<never> {
  const reason = reasonOf(error, "no-connection");
  if (!(error instanceof MigrationError) || reason?.server !== "accepting" || reason.database === "missing")
    throw error;
  const { user } = typed.parameters;
  if (user === undefined || (await hasUser(typed, system)) !== false) throw error;
  const hint = `this PostgreSQL has no user ${user}: --create-role creates it, with its password and database; or, if another PostgreSQL is meant, check host and port in the address`;
  throw new MigrationError(error.code, error.message, { hint, reason, cause: error });
}

/** With --create-role. */
interface Roles {
  readonly administrator: PostgresAddress | undefined;
  readonly orders: RoleOrder[];
  readonly generated: GeneratedPasswords;
}

/** Undefined without --create-role. Throws `bad-usage`. */
async function rolesOf(
  {
    createRole,
    adminDatabase: text,
    adminDatabasePasswordFile: passwordFile,
    databaseCommand: commandPrefix,
  }: {
    createRole: boolean;
    adminDatabase?: string | undefined;
    adminDatabasePasswordFile?: string | undefined;
    databaseCommand?: string[] | undefined;
  },
  compose: boolean,
  system: System,
): Promise<Roles | undefined> {
  if (!createRole && text === undefined && passwordFile === undefined) return undefined;
  if (!createRole || compose || (text === undefined && passwordFile !== undefined))
    throw new MigrationError(
      "bad-usage",
      compose
        ? "--layout compose creates the user of its own database: leave out --create-role and --admin-database"
        : createRole
          ? "--admin-database-password-file: --admin-database must be given, too"
          : "--admin-database: --create-role must be given, too",
    );
  const roles = { orders: [], generated: new Map() };
  if (text === undefined) return { ...roles, administrator: undefined };
  const address = await parseDatabaseAddress(text, passwordFile, system, "--admin-database");
  return { ...roles, administrator: { ...address, ...(commandPrefix ? { commandPrefix } : {}) } };
}
