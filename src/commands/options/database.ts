import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { addressOf, asWhoMay } from "../../homeserver/database/address.ts";
import { type Store, storeWords } from "../../homeserver/database/store.ts";
import {
  type DatabaseRestore,
  type DatabaseTarget,
  describeTarget,
  mustBeOfEngine,
  sqlitePathIn,
} from "../../homeserver/database/target.ts";
import { mustFitCompose } from "../../move/restore/layouts/compose.ts";
import { parseConnection } from "../../system/postgres/conninfo.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import { shellWords } from "../../system/shell-word.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";

export const DATABASE_COMMAND: Option = {
  flags: "--database-command <command>",
  about: "runs psql and pg_dump where they reach the database, not here: 'docker exec -i postgres'",
};

export const MAS_CONFIG: Option = {
  flags: "--mas-config <file>",
  about:
    "what its Matrix Authentication Service gets with --config, where it is not found; in the same order",
  many: true,
};

export const masConfigSchema = { masConfig: z.array(z.string()).default([]) };

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

/** Databases besides the first, where the bundle has more. */
export const FURTHER_DATABASES: readonly Option[] = [
  {
    flags: "--state-database <address>",
    about: "the second empty database, where the state groups had one of their own (databases:)",
  },
  { flags: "--state-database-password-file <file>", about: "file whose only line is that user's password" },
  {
    flags: "--mas-database <address>",
    about: "an empty database for the Matrix Authentication Service, where it is in the bundle",
  },
  { flags: "--mas-database-password-file <file>", about: "file whose only line is that user's password" },
  { flags: "--no-mas", about: "leave the authentication service in the bundle: it is moved by other means" },
];

export const furtherDatabasesSchema = {
  stateDatabase: z.string().min(1).optional(),
  stateDatabasePasswordFile: z.string().optional(),
  masDatabase: z.string().min(1).optional(),
  masDatabasePasswordFile: z.string().optional(),
  mas: z.boolean().default(true),
};

interface FurtherGiven {
  readonly layout?: string | undefined;
  readonly stateDatabase?: string | undefined;
  readonly stateDatabasePasswordFile?: string | undefined;
  readonly masDatabase?: string | undefined;
  readonly masDatabasePasswordFile?: string | undefined;
  readonly databaseCommand?: readonly string[] | undefined;
  readonly owner?: string | undefined;
}

type Counted = DatabaseRestore["section"];

/**
 * The databases of a bundle, and where each goes, in the order in which they are filled. Throws `target-unsuitable` for
 * another engine, and `bad-usage` when one is missing that the bundle needs, is not needed, or is named already.
 */
export async function databasesToFill(
  given: FurtherGiven,
  packed: {
    readonly target: DatabaseTarget;
    readonly database: Counted;
    readonly state?: Counted | undefined;
    readonly mas?: Counted | undefined;
  },
  system: System,
): Promise<DatabaseRestore[]> {
  const { target, database, state, mas } = packed;
  if (given.layout === "compose") mustFitCompose(database, state);
  mustBeOfEngine(database, target);
  const all: DatabaseRestore[] = [{ store: "main", target, section: database }];
  const { stateDatabasePasswordFile, masDatabasePasswordFile } = given;
  for (const { store, typed: text, file, section } of [
    { store: "state", typed: given.stateDatabase, file: stateDatabasePasswordFile, section: state },
    { store: "mas", typed: given.masDatabase, file: masDatabasePasswordFile, section: mas },
  ] as const) {
    const option = `--${store}-database`;
    if (section && text === undefined) throw missing(option, store);
    if (!section && text !== undefined) throw notNeeded(option, store);
    if (!section || text === undefined) continue;
    const typed = await typedDatabase(text, file, system, option);
    const through = given.databaseCommand ? { through: given.databaseCommand } : {};
    const address = await asWhoMay({ ...typed, ...through }, [typed.parameters["user"], given.owner], system);
    const further: DatabaseTarget = { engine: "postgres", address };
    if (all.some((other) => describeTarget(other.target) === describeTarget(further)))
      throw new MigrationError("bad-usage", `${option} names a database that is named already`, {
        hint: "they have tables of the same names: each needs a database of its own",
      });
    all.push({ store, target: further, section });
  }
  return all;
}

const missing = (option: string, store: Store) =>
  new MigrationError("bad-usage", `${option} must be given: this bundle has ${storeWords(store)} as well`, {
    hint: `name another empty database, or one to be made${store === "mas" ? "; to move the service by other means: --no-mas" : ""}`,
  });

const notNeeded = (option: string, store: Store) =>
  new MigrationError("bad-usage", `${option}: this bundle has no such database, or it is not asked for`, {
    hint: `leave it out: ${storeWords(store)} is not restored`,
  });
