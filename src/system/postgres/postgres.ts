import { MigrationError, type NoConnection, reasonOf } from "../../errors.ts";
import type { Programs } from "../programs/programs.ts";
import { quoteLiteral } from "../query.ts";
import { describeAddress, type PostgresAddress, postgresCall } from "./call.ts";
import { SQLSTATE_VARIABLES } from "./refusal.ts";
import { type Backend, type PostgresSession, PsqlSession } from "./session.ts";
import { connectionHint, databaseNameOf, readinessOf } from "./unreachable.ts";

export {
  connectionString,
  describeAddress,
  postgresCall,
  postgresProgramVersion,
  type PostgresAddress,
} from "./call.ts";
export { quoteIdentifier, quoteLiteral } from "../query.ts";
export { clientMessage, SQLSTATE_ARGUMENTS, withoutRowValues } from "./refusal.ts";
export type { Backend, PostgresSession } from "./session.ts";
export { isLocalSocket } from "./unreachable.ts";

/**
 * PostgreSQL through its own programs. They use libpq as Synapse's driver does, so every kind of connection that
 * Synapse can use (sockets, peer authentication, password files, services, TLS) works in the same way.
 */
export interface Postgres {
  /**
   * Throws `database-unreachable` with the server's message, in the server's language, and a `NoConnection` as the
   * reason; `program-missing` without psql.
   */
  connect(to: PostgresAddress, options?: ConnectOptions): Promise<PostgresSession>;
}

export interface ConnectOptions {
  /** Sets the session to read-only, so that the server rejects every statement that writes. */
  readonly readOnly?: boolean;
  /** Milliseconds without any data while a query runs, after which the connection is closed. No limit by default. */
  readonly responseTimeout?: number;
}

const SET_UP = `
${Object.entries(SQLSTATE_VARIABLES)
  .map(([name, value]) => `\\set ${name} ${value}`)
  .join("\n")}
\\set FETCH_COUNT 5000
SET client_encoding = 'UTF8';
SET client_min_messages = 'error';
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET lock_timeout = '60s';
SET application_name = 'synlift';
`;

/** This also rejects nextval and setval (PostgreSQL documentation, SET TRANSACTION). */
const READ_ONLY = "SET default_transaction_read_only = on;";

/** A session may see itself in pg_stat_activity whatever its role is. */
const OWN_BACKEND = `
  SELECT pg_backend_pid() AS pid,
    (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS "startedAt"`;

export function realPostgres(programs: Programs): Postgres {
  const ownBackends: Backend[] = [];
  const open = async (to: PostgresAddress): Promise<PsqlSession> => {
    const kept = { keepalives_idle: "60", connect_timeout: "15", ...to.parameters };
    const psql = postgresCall("psql", { ...to, parameters: kept }, [
      "--no-psqlrc",
      "--quiet",
      "--no-align",
      "--tuples-only",
    ]);
    const session = new PsqlSession(await programs.start(psql), to, ownBackends);
    await session.run(SET_UP);
    ownBackends.push(await session.one<Backend>(OWN_BACKEND));
    session.isConnected = true;
    return session;
  };
  return {
    async connect(to, { readOnly = false, responseTimeout } = {}) {
      const session = await open(to).catch(async (error: unknown) => {
        throw reasonOf(error, "no-connection") ? await withReason(error as MigrationError, to) : error;
      });
      if (readOnly) await session.run(READ_ONLY);
      session.responseTimeout = responseTimeout;
      return session;
    },
  };

  async function withReason(failure: MigrationError, to: PostgresAddress): Promise<MigrationError> {
    const server = await readinessOf(to, programs);
    const mayBeMissing = server === "accepting" || server === "unknown";
    const database = mayBeMissing ? await findDatabase(databaseNameOf(to), to) : "unknown";
    const reason: NoConnection = { kind: "no-connection", server, database };
    const message =
      database === "missing"
        ? `cannot use database ${describeAddress(to)}: there is no database ${databaseNameOf(to) ?? ""}`
        : failure.message;
    return new MigrationError(failure.code, message, {
      hint: connectionHint(reason, to),
      reason,
      cause: failure,
    });
  }

  /** Whether the database exists, if the same user can connect to a maintenance database. */
  async function findDatabase(
    name: string | undefined,
    to: PostgresAddress,
  ): Promise<NoConnection["database"]> {
    if (name === undefined) return "unknown";
    for (const dbname of MAINTENANCE.filter((one) => one !== name)) {
      try {
        const session = await open({ ...to, parameters: { ...to.parameters, dbname } });
        const { found } = await session
          .one<{ found: boolean }>(
            `SELECT EXISTS (SELECT FROM pg_database WHERE datname = ${quoteLiteral(name)}) AS found`,
          )
          .finally(() => session.close());
        return found ? "exists" : "missing";
      } catch (error) {
        if (!(error instanceof MigrationError)) throw error;
      }
    }
    return "unknown";
  }
}

/** The databases that initdb creates (PostgreSQL documentation, Template Databases). */
const MAINTENANCE = ["postgres", "template1"];
