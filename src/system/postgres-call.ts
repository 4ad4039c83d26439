import { MigrationError } from "../errors.ts";
import type { Account } from "./machine.ts";
import type { Call, Programs } from "./programs.ts";

export interface PostgresAddress {
  /** libpq's connection keywords, none of them secret. What is left out has libpq's default. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly password?: string;
  /** The account of this host to run the programs as: peer authentication goes by it. */
  readonly account?: Account;
  /** A command, word by word, that runs what is written behind it elsewhere: `docker exec -i postgres`. */
  readonly through?: readonly string[];
}

/**
 * A call of one of PostgreSQL's programs on a database, with further variables of its environment, none of them secret.
 * The password goes by the environment of that program alone; elsewhere it arrives there by the standard input.
 */
export function postgresCall(
  name: string,
  to: PostgresAddress,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Call {
  const all = ["--no-password", `--dbname=${connectionString(to.parameters)}`, ...args];
  return callThere([name, ...all], to, env);
}

/** A question to a server whether it answers at all, by its exit status; no database and no user is looked at (pg_isready(1)). */
export const readinessCall = ({ parameters, password: _, ...who }: PostgresAddress): Call => ({
  ...callThere(["pg_isready", "--quiet", `--dbname=${connectionString(parameters)}`], who, {}),
  limit: 30_000,
});

function callThere(
  command: readonly string[],
  { through, account, password }: Omit<PostgresAddress, "parameters">,
  env: Readonly<Record<string, string>>,
): Call {
  if (through) return elsewhere(through, password, command, env);
  const [name, ...args] = command;
  return {
    name: name!,
    args,
    env: { ...env, ...(password === undefined ? {} : { PGPASSWORD: password }) },
    ...(account ? { account, folder: "/" } : {}),
  };
}

/** Reads a line, byte by byte as POSIX has it for what is no file, and leaves the rest to the program. */
const TAKE_PASSWORD = 'IFS= read -r PGPASSWORD && export PGPASSWORD && exec "$@"';

function elsewhere(
  [name, ...before]: readonly string[],
  password: string | undefined,
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): Call {
  // Environment and password file of this host do not get there.
  const variables = Object.entries({ LC_MESSAGES: "C", ...env }).map(([key, value]) => `${key}=${value}`);
  const words = [...before, "env", ...variables];
  if (password === undefined) return { name: name!, args: [...words, ...command] };
  if (/[\r\n\0]/.test(password))
    throw new MigrationError(
      "bad-usage",
      "the database's password has a line break, and cannot be handed on to where its programs run",
      { hint: "give the database user another password, or let its programs run on this host" },
    );
  return {
    name: name!,
    args: [...words, "sh", "-c", TAKE_PASSWORD, "sh", ...command],
    firstInput: `${password}\n`,
  };
}

/** libpq's keyword form, quoted (PostgreSQL documentation, 34.1.1.1). */
export function connectionString(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .map(([key, value]) => `${key}='${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`)
    .join(" ");
}

/** For people: "synapse on db.example:5432". Holds no secret. */
export function describeAddress({ parameters, through }: PostgresAddress): string {
  const { dbname, host, hostaddr, port, service } = parameters;
  const where = host ?? hostaddr ?? (service === undefined ? "the local socket" : `service ${service}`);
  const road = through ? `, by ${through.join(" ")}` : "";
  return `${dbname ?? parameters["user"] ?? "the default database"} on ${where}${port === undefined ? "" : `:${port}`}${road}`;
}

/** The major and minor version in a line such as "pg_dump (PostgreSQL) 15.18 (Debian …)". */
export async function postgresProgramVersion(
  name: string,
  programs: Programs,
  through: readonly string[] = [],
): Promise<{ major: number; text: string }> {
  const [program = name, ...rest] = through;
  const args = through.length === 0 ? ["--version"] : [...rest, name, "--version"];
  const said = await programs.run({ name: program, args, limit: 10_000 });
  const found = /(\d+)(?:\.\d+|devel|beta\d+|rc\d+)*/.exec(said.replace(/^.*PostgreSQL\)/, ""));
  if (!found)
    throw new MigrationError("program-failed", `${name} does not say which version it is: ${said.trim()}`);
  return { major: Number(found[1]), text: found[0] };
}
