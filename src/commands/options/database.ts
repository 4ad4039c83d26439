import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { addressOf, withPermittedAccount } from "../../homeserver/database/address.ts";
import { type DatabaseTarget, sqlitePathIn } from "../../homeserver/database/target.ts";
import type { ChosenLayout } from "../../move/restore/layouts/choose.ts";
import { COMPOSE_DATABASE, composePassword } from "../../move/restore/layouts/compose.ts";
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
  const given =
    passwordFile === undefined ? undefined : (await files.readText(passwordFile)).replace(/\r?\n$/, "");
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
    DATABASE_COMMAND,
  ],
  schema: {
    database: z.string().min(1).optional(),
    databasePasswordFile: z.string().optional(),
    stateDatabase: z.string().min(1).optional(),
    stateDatabasePasswordFile: z.string().optional(),
    ...DATABASE_COMMAND.schema,
  },
  /** Throws `bad-usage`, and errors of the database connection: as root, an account that PostgreSQL accepts is looked for. */
  async read(
    given,
    { compose }: Pick<ChosenLayout, "compose">,
    owner: string | undefined,
    system: System,
  ): Promise<TargetDatabases> {
    const { database, stateDatabase: state, databaseCommand: commandPrefix } = given;
    if (compose && database !== undefined)
      throw new MigrationError("bad-usage", "--layout compose has its own database: leave out --database");
    const connection = { commandPrefix, owner };
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
      return { database: { engine: "postgres", address }, databaseHere, stateDatabase };
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
    return { database: main, databaseHere: undefined, stateDatabase };
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
  }: Connection & { text: string; passwordFile: string | undefined },
  system: System,
): Promise<DatabaseTarget> {
  const parsed = await parseDatabaseAddress(text, passwordFile, system, option);
  const typed: PostgresAddress = commandPrefix === undefined ? parsed : { ...parsed, commandPrefix };
  const address = await withPermittedAccount(typed, [typed.parameters["user"], owner], system);
  return { engine: "postgres", address };
}
