import { MigrationError } from "../../../errors.ts";
import { secretLine } from "../../../system/files/secret-line.ts";
import type { ConnectOptions, PostgresAddress, PostgresSession } from "../../../system/postgres/postgres.ts";
import { isLocalSocket } from "../../../system/postgres/postgres.ts";
import type { System } from "../../../system/system.ts";
import { withPermittedAccount } from "../address.ts";
import { assertNoPooler } from "../checks/pooler.ts";
import type { RecordedAdministrator } from "./record.ts";

/** What Debian, PostgreSQL's container and initdb's documentation call the administrator. */
const ADMINISTRATOR = "postgres";

/** How the administrator connects, as far as it was given. */
export interface GivenAdministrator {
  readonly address: PostgresAddress;
  /** Absolute. */
  readonly passwordFile: string | undefined;
}

/** PostgreSQL's administrator on the old host, in the homeserver's database. */
export interface Administrator {
  readonly address: PostgresAddress;
  /** For the record: what is needed to connect again. */
  readonly recorded: RecordedAdministrator;
}

type World = Pick<System, "postgres" | "machine" | "files">;

/**
 * Finds out how the administrator of the PostgreSQL that has this database connects: as it was given, or as the account
 * `postgres` through the socket of this host, or at the homeserver's own address. Changes nothing. Throws
 * `database-unreachable`, and `database-unsupported` for a connection pooler or another server than the homeserver's.
 */
export async function findAdministrator(
  homeserver: PostgresAddress,
  given: GivenAdministrator | undefined,
  system: World,
): Promise<Administrator> {
  await assertNoPooler(homeserver, system.postgres);
  const own = await serverMarks(homeserver, system);
  let refusal: unknown;
  let isOther = false;
  for (const candidate of given ? [inDatabaseOf(homeserver, given.address)] : candidatesFor(homeserver)) {
    try {
      const address = await withPermittedAccount(candidate, [ADMINISTRATOR], system);
      if ((await serverMarks(address, system)) === own)
        return { address, recorded: recordOf(address, given) };
      isOther = true;
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      refusal ??= error;
    }
  }
  if (isOther)
    throw new MigrationError(
      "database-unsupported",
      "PostgreSQL's administrator was found on another server than the homeserver's database",
      { hint: "name that server's: --admin-database 'host=… port=… user=postgres dbname=postgres'" },
    );
  const cause = refusal as MigrationError;
  throw new MigrationError(
    "database-unreachable",
    `PostgreSQL's administrator could not connect: ${cause.message}`,
    {
      hint: "run it as root, or name the administrator: --admin-database 'host=… user=postgres dbname=postgres' and --admin-database-password-file",
      reason: cause.reason,
      cause,
    },
  );
}

/** A session of the recorded administrator. Throws `database-unreachable`, `file-missing`. */
export async function connectRecorded(
  { parameters, passwordFile, account, commandPrefix }: RecordedAdministrator,
  dbname: string | undefined,
  system: World,
  options: ConnectOptions = { writes: true },
): Promise<PostgresSession> {
  const found = account === undefined ? undefined : system.machine.account(account);
  const password =
    passwordFile === undefined ? undefined : secretLine(await system.files.readText(passwordFile));
  return system.postgres.connect(
    {
      parameters: { ...parameters, ...(dbname === undefined ? {} : { dbname }) },
      ...(password === undefined ? {} : { password }),
      ...(found === undefined ? {} : { account: found }),
      ...(commandPrefix === undefined ? {} : { commandPrefix }),
    },
    options,
  );
}

function candidatesFor({ parameters, commandPrefix }: PostgresAddress): PostgresAddress[] {
  const { host, hostaddr, port, dbname, user } = parameters;
  const where = {
    ...(port === undefined ? {} : { port }),
    user: ADMINISTRATOR,
    dbname: dbname ?? user ?? "",
  };
  const through = commandPrefix ? { commandPrefix } : {};
  const place = {
    ...(host === undefined ? {} : { host }),
    ...(hostaddr === undefined ? {} : { hostaddr }),
  };
  const own = { parameters: { ...place, ...where }, ...through };
  return isLocalSocket({ parameters }) || commandPrefix ? [own] : [{ parameters: where }, own];
}

/** The administrator looks at the homeserver's database, whichever one was named to log in. */
const inDatabaseOf = (
  { parameters: { dbname, user } }: PostgresAddress,
  given: PostgresAddress,
): PostgresAddress => ({
  ...given,
  parameters: { ...given.parameters, dbname: dbname ?? user ?? given.parameters["dbname"] ?? "postgres" },
});

function recordOf(
  { parameters, account, commandPrefix }: PostgresAddress,
  given: GivenAdministrator | undefined,
): RecordedAdministrator {
  return {
    parameters: { ...parameters },
    ...(given?.passwordFile === undefined ? {} : { passwordFile: given.passwordFile }),
    ...(account === undefined ? {} : { account: account.name }),
    ...(commandPrefix === undefined ? {} : { commandPrefix: [...commandPrefix] }),
  };
}

/** Tells running servers apart: two ports may be of one server, and one port of two. Everybody may ask for it. */
async function serverMarks(address: PostgresAddress, { postgres }: World): Promise<string> {
  const session = await postgres.connect(address);
  try {
    const { marks } = await session.one<{ marks: string }>(
      "SELECT concat_ws(' ', system_identifier, extract(epoch FROM pg_postmaster_start_time())::text) AS marks FROM pg_control_system()",
    );
    return marks;
  } finally {
    await session.close();
  }
}
