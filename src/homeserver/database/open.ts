import { MigrationError } from "../../errors.ts";
import type { PostgresAddress, PostgresSession } from "../../system/postgres/postgres.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import type { Homeserver } from "../homeserver.ts";
import { connect, databaseAddress, stateAddress } from "./address.ts";

/** A homeserver's database, opened for reading. The caller closes the session. */
export type OpenDatabase =
  | { readonly engine: "postgres"; readonly session: PostgresSession; readonly address: PostgresAddress }
  | { readonly engine: "sqlite"; readonly session: QuerySession; readonly path: string };

/** Query time-outs in milliseconds: `deep` is for queries that read every row. */
export const QUERY_TIMEOUT = { quick: 120_000, deep: 6 * 3600_000 };

/**
 * Opens the database so that nothing can be written by it. Throws `database-unreachable`, `file-missing`, and
 * `database-unsupported` for several databases.
 */
export async function openReadOnly(
  homeserver: Homeserver,
  deep: boolean,
  system: Pick<System, "postgres" | "sqlite" | "machine" | "files">,
): Promise<OpenDatabase> {
  const { database, mediaStore } = homeserver;
  if (database.kind === "sqlite") {
    return {
      engine: "sqlite",
      session: await system.sqlite.connect(database.path),
      path: database.path,
    };
  }
  const options = { responseTimeout: deep ? QUERY_TIMEOUT.deep : QUERY_TIMEOUT.quick };
  const { session, address } = await connect(databaseAddress(homeserver), system, mediaStore, options);
  return { engine: "postgres", session, address };
}

/** The state database, if there is one, opened in the same way. */
export async function openStateReadOnly(
  homeserver: Homeserver,
  deep: boolean,
  system: Pick<System, "postgres" | "machine" | "files">,
): Promise<Extract<OpenDatabase, { engine: "postgres" }> | undefined> {
  const named = stateAddress(homeserver);
  if (!named) return undefined;
  const options = { responseTimeout: deep ? QUERY_TIMEOUT.deep : QUERY_TIMEOUT.quick };
  const { session, address } = await connect(named, system, homeserver.mediaStore, options);
  return { engine: "postgres", session, address };
}

/** The error of a failed query, for a finding: never a value from a row. */
export const reasonOf = (error: unknown) =>
  error instanceof MigrationError ? error.message : `an unexpected answer: ${(error as Error).message}`;
