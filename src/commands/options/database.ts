import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { addressOf, withPermittedAccount } from "../../homeserver/database/address.ts";
import { describeStore, type Store } from "../../homeserver/database/store.ts";
import {
  assertSameEngine,
  type DatabaseRestore,
  type DatabaseTarget,
  describeTarget,
  sqlitePathIn,
} from "../../homeserver/database/target.ts";
import { assertFitsCompose } from "../../move/restore/layouts/compose.ts";
import { parseConnection } from "../../system/postgres/conninfo.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import { splitShellWords } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";

export const DATABASE_COMMAND: Option = {
  flags: "--database-command <command>",
  about:
    "command prefix that runs psql and pg_dump where they can reach the database: 'docker exec -i postgres'",
};

export const MAS_CONFIG: Option = {
  flags: "--mas-config <file>",
  about:
    "configuration file of its Matrix Authentication Service, if it is not found; repeat for each --config, in the same order",
  many: true,
};

export const masConfigSchema = { masConfig: z.array(z.string()).default([]) };

export const databaseCommandSchema = { databaseCommand: z.string().transform(commandOf).optional() };

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

export interface GivenTarget {
  readonly database?: string | undefined;
  readonly databasePasswordFile?: string | undefined;
  readonly databaseCommand?: string[] | undefined;
  readonly owner?: string | undefined;
}

/** Parses the target database. As root, connects to PostgreSQL as an account that it accepts. Throws `bad-usage`. */
export async function parseDatabaseTarget(given: GivenTarget, system: System): Promise<DatabaseTarget> {
  const { database } = given;
  if (database === undefined)
    throw new MigrationError("bad-usage", "--database: must be given", { hint: "--help shows an example" });
  const path = sqlitePathIn(database, system.machine.folder);
  if (path !== undefined) return { engine: "sqlite", path };
  const typed = {
    ...(await parseDatabaseAddress(database, given.databasePasswordFile, system)),
    ...(given.databaseCommand ? { commandPrefix: given.databaseCommand } : {}),
  };
  const address = await withPermittedAccount(typed, [typed.parameters["user"], given.owner], system);
  return { engine: "postgres", address };
}

/** "docker exec -i postgres", word by word; no shell reads it. Throws `bad-usage`. */
function commandOf(text: string): string[] {
  const words = splitShellWords(text);
  if (words && words.length > 0) return words;
  throw new MigrationError("bad-usage", `--database-command: ${text} is not a command`, {
    hint: "write it as --database-command 'docker exec -i postgres'; it is not run by a shell, so variables and pipes do not work",
  });
}

/** Options for further databases of a bundle. */
export const FURTHER_DATABASES: readonly Option[] = [
  {
    flags: "--state-database <address>",
    about: "a second empty database, if state groups had a separate one (databases:)",
  },
  { flags: "--state-database-password-file <file>", about: "file that contains only that user's password" },
  {
    flags: "--mas-database <address>",
    about: "an empty database for the Matrix Authentication Service, if it is in the bundle",
  },
  { flags: "--mas-database-password-file <file>", about: "file that contains only that user's password" },
  { flags: "--no-mas", about: "do not restore the authentication service: it is moved by other means" },
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
  if (given.layout === "compose") assertFitsCompose(database, state);
  assertSameEngine(database, target);
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
    const typed = await parseDatabaseAddress(text, file, system, option);
    const prefix = given.databaseCommand ? { commandPrefix: given.databaseCommand } : {};
    const address = await withPermittedAccount(
      { ...typed, ...prefix },
      [typed.parameters["user"], given.owner],
      system,
    );
    const further: DatabaseTarget = { engine: "postgres", address };
    if (all.some((other) => describeTarget(other.target) === describeTarget(further)))
      throw new MigrationError("bad-usage", `${option} names the same database as another option`, {
        hint: "their tables have the same names: each needs a separate database",
      });
    all.push({ store, target: further, section });
  }
  return all;
}

const missing = (option: string, store: Store) =>
  new MigrationError("bad-usage", `${option} must be given: this bundle also has ${describeStore(store)}`, {
    hint: `give another empty database, or one that will be created${store === "mas" ? "; to move the service by other means: --no-mas" : ""}`,
  });

const notNeeded = (option: string, store: Store) =>
  new MigrationError("bad-usage", `${option}: this bundle has no such database, or --no-mas excludes it`, {
    hint: `leave it out: ${describeStore(store)} is not restored`,
  });
