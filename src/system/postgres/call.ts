import { MigrationError } from "../../errors.ts";
import type { Account } from "../machine.ts";
import type { ProgramCall, Programs } from "../programs/programs.ts";

export interface PostgresAddress {
  /** libpq's connection keywords, without secrets. Missing ones have libpq's defaults. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly password?: string;
  /** The account of this host that runs the programs, for peer authentication. */
  readonly account?: Account;
  /** The words of a command that runs another command elsewhere: `docker exec -i postgres`. */
  readonly commandPrefix?: readonly string[];
}

/**
 * A call of one of PostgreSQL's programs on a database, with additional environment variables, without secrets. The
 * password is passed in the environment of that program only or, with `commandPrefix`, on its standard input.
 */
export function postgresCall(
  name: string,
  to: PostgresAddress,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ProgramCall {
  const all = ["--no-password", `--dbname=${connectionString(to.parameters)}`, ...args];
  return callProgram([name, ...all], to, env);
}

/**
 * A call of pg_isready(1), whose exit status says whether the server accepts connections. It does not log in: database and
 * user are not checked.
 */
export const readinessCall = ({ parameters, password: _, ...rest }: PostgresAddress): ProgramCall => ({
  ...callProgram(["pg_isready", "--quiet", `--dbname=${connectionString(parameters)}`], rest, {}),
  timeout: 30_000,
});

function callProgram(
  command: readonly string[],
  { commandPrefix, account, password }: Omit<PostgresAddress, "parameters">,
  env: Readonly<Record<string, string>>,
): ProgramCall {
  if (commandPrefix) return callThroughCommand(commandPrefix, password, command, env);
  const [name, ...args] = command;
  return {
    name: name!,
    args,
    env: { ...env, ...(password === undefined ? {} : { PGPASSWORD: password }) },
    ...(account ? { account, folder: "/" } : {}),
  };
}

/** Reads one line, byte by byte as POSIX requires for a pipe, and leaves the rest to the program. */
const READ_PASSWORD = 'IFS= read -r PGPASSWORD && export PGPASSWORD && exec "$@"';

function callThroughCommand(
  [name, ...before]: readonly string[],
  password: string | undefined,
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): ProgramCall {
  // Environment and password file of this host are not available there. LC_ALL, which may be set there, would override LC_MESSAGES.
  const variables = Object.entries({ LC_ALL: "C", ...env }).map(([key, value]) => `${key}=${value}`);
  const words = [...before, "env", ...variables];
  if (password === undefined) return { name: name!, args: [...words, ...command] };
  if (/[\r\n\0]/.test(password))
    throw new MigrationError(
      "bad-usage",
      "the database password contains a line break and cannot be passed to programs that run elsewhere",
      { hint: "change the password of the database user, or run PostgreSQL's programs on this host" },
    );
  return {
    name: name!,
    args: [...words, "sh", "-c", READ_PASSWORD, "sh", ...command],
    inputPrefix: `${password}\n`,
  };
}

/** libpq's keyword form, quoted (PostgreSQL documentation, 34.1.1.1). */
export function connectionString(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .map(([key, value]) => `${key}='${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`)
    .join(" ");
}

/** The address as text: "synapse on db.example:5432". Contains no secret. */
export function describeAddress({ parameters, commandPrefix }: PostgresAddress): string {
  const { dbname, host, hostaddr, port, service } = parameters;
  const where = host ?? hostaddr ?? (service === undefined ? "the local socket" : `service ${service}`);
  const suffix = commandPrefix ? `, via ${commandPrefix.join(" ")}` : "";
  return `${dbname ?? parameters["user"] ?? "the default database"} on ${where}${port === undefined ? "" : `:${port}`}${suffix}`;
}

/** The major and minor version in a line such as "pg_dump (PostgreSQL) 15.18 (Debian …)". */
export async function postgresProgramVersion(
  name: string,
  programs: Programs,
  through: readonly string[] = [],
): Promise<{ major: number; text: string }> {
  const [program = name, ...rest] = through;
  const args = through.length === 0 ? ["--version"] : [...rest, name, "--version"];
  const said = await programs.run({ name: program, args, timeout: 10_000 });
  const found = /(\d+)(?:\.\d+|devel|beta\d+|rc\d+)*/.exec(said.replace(/^.*PostgreSQL\)/, ""));
  if (!found)
    throw new MigrationError(
      "program-failed",
      `the version of ${name} cannot be determined from its output: ${said.trim()}`,
    );
  return { major: Number(found[1]), text: found[0] };
}
