import { z } from "zod";
import { MigrationError } from "../errors.ts";
import { addressOf, asWhoMay } from "../homeserver/database/address.ts";
import type { DatabaseSection } from "../homeserver/database/section.ts";
import {
  mustBeOfEngine,
  sqlitePathIn,
  type DatabaseRestore,
  type DatabaseTarget,
} from "../homeserver/database/target.ts";
import { shellWords } from "../report/shell-word.ts";
import { parseConnection } from "../system/conninfo.ts";
import { describeAddress, type PostgresAddress } from "../system/postgres.ts";
import type { System } from "../system/system.ts";
import type { Option } from "./command.ts";

export const DATABASE_COMMAND: Option = {
  flags: "--database-command <command>",
  about: "runs psql and pg_dump where they reach the database, not here: 'docker exec -i postgres'",
};

export const databaseCommandSchema = { databaseCommand: z.string().transform(commandOf).optional() };

/** A database's address as typed; its password comes from a file, as everybody on the host can read what is typed. */
export async function typedDatabase(
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
        hint: `leave it out there and put it into a file: ${option}-password-file`,
      },
    );
  }
  if (parameters["dbname"] === undefined)
    throw new MigrationError("bad-usage", `${option} names no database`, { hint: "add dbname=…" });
  const given =
    passwordFile === undefined ? undefined : (await files.readText(passwordFile)).replace(/\r?\n$/, "");
  return addressOf({
    user: machine.user,
    ...parameters,
    ...(given === undefined ? {} : { password: given }),
  });
}

export interface GivenTarget {
  readonly database?: string | undefined;
  readonly databasePasswordFile?: string | undefined;
  readonly databaseCommand?: string[] | undefined;
  readonly owner?: string | undefined;
}

/** Where a database is to go, as typed. As root, PostgreSQL is asked as the account that it knows. Throws `bad-usage`. */
export async function typedTarget(given: GivenTarget, system: System): Promise<DatabaseTarget> {
  const { database } = given;
  if (database === undefined)
    throw new MigrationError("bad-usage", "--database: must be given", { hint: "--help shows an example" });
  const path = sqlitePathIn(database, system.machine.folder);
  if (path !== undefined) return { engine: "sqlite", path };
  const typed = {
    ...(await typedDatabase(database, given.databasePasswordFile, system)),
    ...(given.databaseCommand ? { through: given.databaseCommand } : {}),
  };
  const address = await asWhoMay(typed, [typed.parameters["user"], given.owner], system);
  return { engine: "postgres", address };
}

/** "docker exec -i postgres", word by word; no shell reads it. Throws `bad-usage`. */
function commandOf(text: string): string[] {
  const words = shellWords(text);
  if (words && words.length > 0) return words;
  throw new MigrationError("bad-usage", `--database-command: ${text} is no command`, {
    hint: "write it as --database-command 'docker exec -i postgres'; no shell reads it, so variables and pipes mean nothing",
  });
}

/** Where the state groups go that had a database of their own. */
export const STATE_DATABASE: readonly Option[] = [
  {
    flags: "--state-database <address>",
    about: "the second empty database, where the state groups had one of their own (databases:)",
  },
  { flags: "--state-database-password-file <file>", about: "file whose only line is that user's password" },
];

export const stateDatabaseSchema = {
  stateDatabase: z.string().min(1).optional(),
  stateDatabasePasswordFile: z.string().optional(),
};

interface StateGiven {
  readonly stateDatabase?: string | undefined;
  readonly stateDatabasePasswordFile?: string | undefined;
  readonly databaseCommand?: readonly string[] | undefined;
  readonly owner?: string | undefined;
}

/** The databases of a bundle, and where each goes. Throws `target-unsuitable` for another engine, and as `typedStateDatabase`. */
export async function databasesToFill(
  given: StateGiven,
  packed: { target: DatabaseTarget; database: DatabaseSection; state: DatabaseSection | undefined },
  system: System,
): Promise<DatabaseRestore[]> {
  const { target, database, state } = packed;
  mustBeOfEngine(database, target);
  const main: DatabaseRestore = { store: "main", target, section: database };
  const first = target.engine === "postgres" ? target.address : undefined;
  const address = await typedStateDatabase(given, { main: first, isPacked: state !== undefined }, system);
  if (!address || !state) return [main];
  return [main, { store: "state", target: { engine: "postgres", address }, section: state }];
}

/** The second database as typed. Throws `bad-usage` when it is missing, not needed, or the first one again. */
async function typedStateDatabase(
  { stateDatabase, stateDatabasePasswordFile: file, databaseCommand, owner }: StateGiven,
  { main, isPacked }: { main: PostgresAddress | undefined; isPacked: boolean },
  system: System,
): Promise<PostgresAddress | undefined> {
  if ((stateDatabase !== undefined) !== isPacked) {
    throw isPacked
      ? new MigrationError(
          "bad-usage",
          "--state-database must be given: the state groups in this bundle have a database of their own",
          { hint: "name a second empty database, or one to be made" },
        )
      : new MigrationError("bad-usage", "--state-database: this bundle has one database only", {
          hint: "leave it out: Synapse makes no use of a second one",
        });
  }
  if (stateDatabase === undefined) return undefined;
  const typed = await typedDatabase(stateDatabase, file, system, "--state-database");
  const through = databaseCommand ? { through: databaseCommand } : {};
  const address = await asWhoMay({ ...typed, ...through }, [typed.parameters["user"], owner], system);
  if (!main || describeAddress(address) !== describeAddress(main)) return address;
  throw new MigrationError("bad-usage", "--state-database and --database are the same", {
    hint: "both have tables of the same names: they need a database each",
  });
}
