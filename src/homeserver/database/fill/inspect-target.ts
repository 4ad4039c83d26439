import { hasSqlstate, MigrationError, reasonOf } from "../../../errors.ts";
import {
  type ConnectOptions,
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
  quoteIdentifier,
} from "../../../system/postgres/postgres.ts";
import { assertNoPoolerBeforeTarget } from "../checks/pooler.ts";
import { databaseFacts, majorOf } from "../facts.ts";
import { createdbCommand, createOptions, describeLocale, isAsSynapseRequires } from "../locale.ts";
import type { DatabaseSection } from "../section.ts";
import type { Store } from "../store.ts";
import { describeObjects, objectsInDatabase } from "./contents.ts";

export interface PostgresTarget {
  readonly address: PostgresAddress;
  /** The values from the old host that decide where the database can be restored. */
  readonly section: Pick<DatabaseSection, "serverVersion">;
  readonly store?: Store;
}

/**
 * Checks whether the dump can be restored there, and changes nothing. True when the database exists, is empty and suitable; false
 * when it does not exist yet but may be created.
 * Throws `target-not-empty`, `target-unsuitable`, `database-unreachable`.
 */
export async function inspectTarget(
  { address, section, store }: PostgresTarget,
  postgres: Postgres,
): Promise<boolean> {
  const session = await connectIfExists(address, postgres);
  if (!session) {
    await assertNoPoolerBeforeTarget(maintenanceAddress(address), postgres);
    await assertMayCreate(address, section, postgres);
    return false;
  }
  try {
    await assertNoPoolerBeforeTarget(address, postgres);
    await assertSuitable(session, section, store);
    return true;
  } finally {
    await session.close();
  }
}

/** Which server a database is on, or is to be made on. */
export async function readServerVersion(
  address: PostgresAddress,
  postgres: Postgres,
): Promise<{ major: number; text: string }> {
  const session =
    (await connectIfExists(address, postgres)) ?? (await postgres.connect(maintenanceAddress(address)));
  const { serverVersion, serverVersionText } = await databaseFacts(session).finally(() => session.close());
  return { major: majorOf(serverVersion), text: serverVersionText };
}

/** Whether there is such a database, whatever is in it. */
export async function databaseExists(address: PostgresAddress, postgres: Postgres): Promise<boolean> {
  const session = await connectIfExists(address, postgres);
  await session?.close();
  return session !== undefined;
}

/** Undefined when there is no such database. Throws as `Postgres.connect` does. */
export async function connectIfExists(
  address: PostgresAddress,
  postgres: Postgres,
  options?: ConnectOptions,
): Promise<PostgresSession | undefined> {
  try {
    return await postgres.connect(address, options);
  } catch (error) {
    if (isMissingDatabase(error)) return undefined;
    throw error;
  }
}

/** Whether the connection failed because the database does not exist. */
export const isMissingDatabase = (error: unknown) => reasonOf(error, "no-connection")?.database === "missing";

/**
 * Makes the database as Synapse requires it, whatever the server's own default is. One that
 * somebody else made a moment ago will do: whether it is right is looked at before it is filled.
 */
export async function createDatabase(address: PostgresAddress, postgres: Postgres): Promise<void> {
  const session = await postgres.connect(maintenanceAddress(address), { writes: true });
  try {
    const name = quoteIdentifier(address.parameters["dbname"]!);
    const { serverVersion } = await databaseFacts(session);
    await session.runAlone(`CREATE DATABASE ${name} ${createOptions(serverVersion)};`);
  } catch (error) {
    if (!hasSqlstate(error, ALREADY_CREATED)) throw error;
  } finally {
    await session.close();
  }
}

/** duplicate_database; and unique_violation in pg_database, when both were created at the same moment. */
const ALREADY_CREATED = ["42P04", "23505"];

async function assertSuitable(
  session: PostgresSession,
  section: PostgresTarget["section"],
  store: Store = "main",
): Promise<void> {
  const facts = await databaseFacts(session);
  const { name, create } = await session.one<{ name: string; create: boolean }>(
    "SELECT current_database() AS name, has_schema_privilege('public', 'CREATE') AS create",
  );
  const objects = await objectsInDatabase(session);
  if (objects.length > 0) {
    throw new MigrationError(
      "target-not-empty",
      `database ${name} is not empty: it has ${describeObjects(objects)}`,
      {
        hint: "restoring into a filled database duplicates rows, or fails at an object that is there already: name a new database, or drop this one if nothing in it is needed",
      },
    );
  }
  const anyLocale = store === "mas";
  if (anyLocale ? facts.encoding !== "UTF8" : !isAsSynapseRequires(facts)) {
    throw new MigrationError(
      "target-unsuitable",
      `database ${name} has ${describeLocale(facts)}; Synapse requires UTF8, C and C`,
      {
        hint: `drop it and let synlift create it, or: ${createdbCommand(facts.serverVersion, { name })}`,
      },
    );
  }
  if (!create) {
    throw new MigrationError("target-unsuitable", `this user may not create tables in database ${name}`, {
      hint: `make it the database's owner: ALTER DATABASE ${quoteIdentifier(name)} OWNER TO …`,
    });
  }
  assertNotOlder(facts.serverVersion, section);
}

async function assertMayCreate(
  address: PostgresAddress,
  section: PostgresTarget["section"],
  postgres: Postgres,
): Promise<void> {
  const session = await postgres.connect(maintenanceAddress(address));
  try {
    const { may, user } = await session.one<{ may: boolean; user: string }>(
      "SELECT rolcreatedb OR rolsuper AS may, rolname AS user FROM pg_roles WHERE rolname = current_user",
    );
    const { serverVersion } = await databaseFacts(session);
    assertNotOlder(serverVersion, section);
    if (may) return;
    const name = address.parameters["dbname"]!;
    throw new MigrationError(
      "target-unsuitable",
      `there is no database ${name}, and user ${user} may not create it`,
      {
        hint: `as a superuser: ${createdbCommand(serverVersion, { owner: user, name })}`,
      },
    );
  } finally {
    await session.close();
  }
}

/** Throws `target-unsuitable` when the target's server is older than the source's. */
export function assertNotOlder(serverVersion: number, section: PostgresTarget["section"]): void {
  const [here, there] = [majorOf(serverVersion), majorOf(section.serverVersion)];
  if (here >= there) return;
  throw new MigrationError(
    "target-unsuitable",
    `the target's PostgreSQL ${here} is older than the source's ${there}`,
    {
      hint: `install PostgreSQL ${there} or newer on the new host: a dump cannot be restored into an older version`,
    },
  );
}

const maintenanceAddress = (address: PostgresAddress): PostgresAddress => ({
  ...address,
  parameters: { ...address.parameters, dbname: "postgres" },
});
