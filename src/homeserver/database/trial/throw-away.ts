import { hasSqlstate } from "../../../errors.ts";
import type { Machine } from "../../../system/machine.ts";
import {
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
  quoteIdentifier,
} from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import { databaseFacts } from "../facts.ts";
import { createOptions } from "../locale.ts";

/** What a database of a trial is called, so that a later run recognizes one that a killed run has left. */
const newName = (uuid: string) => `synlift_trial_${uuid.replaceAll("-", "")}`;
const PATTERN = "^synlift_trial_[0-9a-f]{32}$";

/** A server where a database can be made and dropped again. */
export interface TrialServer {
  /** A database of it that exists. */
  readonly address: PostgresAddress;
  /** server_version_num. */
  readonly serverVersion: number;
  readonly versionText: string;
  readonly user: string;
  readonly isSuperuser: boolean;
  readonly mayCreate: boolean;
}

/** Throws as `Postgres.connect` does. */
export async function readTrialServer(address: PostgresAddress, postgres: Postgres): Promise<TrialServer> {
  const session = await postgres.connect(address);
  try {
    const { serverVersion, serverVersionText } = await databaseFacts(session);
    const role = await session.one<Pick<TrialServer, "user" | "isSuperuser" | "mayCreate">>(
      `SELECT rolname AS "user", rolsuper AS "isSuperuser", rolsuper OR rolcreatedb AS "mayCreate" FROM pg_roles WHERE rolname = current_user`,
    );
    const [versionText] = serverVersionText.split(" ");
    return { ...role, address, serverVersion, versionText: versionText! };
  } finally {
    await session.close();
  }
}

/**
 * Makes an empty database as Synapse requires it, runs `use`, and drops it whatever happens. A connection to it is held meanwhile, so
 * that no other run can take it for one that a killed run has left. Those are dropped first.
 */
export async function withThrowAwayDatabase<T>(
  server: TrialServer,
  { postgres, machine }: { readonly postgres: Postgres; readonly machine: Pick<Machine, "uuid"> },
  progress: Pick<Progress, "note">,
  use: (address: PostgresAddress) => Promise<T>,
): Promise<T> {
  for (const name of await leftDatabases(server, postgres))
    if (await drop(server, name, postgres))
      progress.note(`the throw-away database ${name}, which an interrupted run had left, was dropped`);
  const name = newName(machine.uuid());
  await alone(
    server,
    `CREATE DATABASE ${quoteIdentifier(name)} ${createOptions(server.serverVersion)};`,
    postgres,
  );
  let holder: PostgresSession | undefined;
  try {
    const address = databaseIn(server.address, name);
    holder = await postgres.connect(address);
    return await use(address);
  } finally {
    await holder?.close();
    await dropAtLast(server, name, { postgres }, progress);
  }
}

async function leftDatabases({ address }: TrialServer, postgres: Postgres): Promise<string[]> {
  const session = await postgres.connect(address);
  const found = session.all<{ name: string }>(
    `SELECT datname AS name FROM pg_database WHERE datname ~ '${PATTERN}' AND pg_get_userbyid(datdba) = current_user`,
  );
  return (await found.finally(() => session.close())).map(({ name }) => name);
}

/** A connection that was closed a moment ago may still be there for the server. */
async function dropAtLast(
  server: TrialServer,
  name: string,
  { postgres }: { readonly postgres: Postgres },
  progress: Pick<Progress, "note">,
): Promise<void> {
  for (let tries = 0; tries < 20; tries += 1) if (await drop(server, name, postgres)) return;
  progress.note(`the throw-away database ${name} is still in use: the next run drops it`);
}

/** False when it is in use. The server itself waits some seconds for connections to end (dbcommands.c, `dropdb`). */
async function drop(server: TrialServer, name: string, postgres: Postgres): Promise<boolean> {
  try {
    await alone(server, `DROP DATABASE IF EXISTS ${quoteIdentifier(name)};`, postgres);
    return true;
  } catch (error) {
    if (hasSqlstate(error, [OBJECT_IN_USE])) return false;
    throw error;
  }
}

const OBJECT_IN_USE = "55006";

async function alone({ address }: TrialServer, sql: string, postgres: Postgres): Promise<void> {
  const session = await postgres.connect(address, { writes: true });
  await session.runAlone(sql).finally(() => session.close());
}

const databaseIn = (address: PostgresAddress, dbname: string): PostgresAddress => ({
  ...address,
  parameters: { ...address.parameters, dbname },
});
