import { MigrationError, type NoConnection, reasonOf } from "../../errors.ts";
import type { Programs } from "../programs/programs.ts";
import { quoteLiteral } from "../query.ts";
import { describeAddress, type PostgresAddress, postgresCall } from "./call.ts";
import { withoutWrapper } from "./debian-wrapper.ts";
import { type Backend, type PostgresSession, PsqlSession } from "./session.ts";
import { connectionHint, databaseNameOf, readinessOf } from "./unreachable.ts";

export {
  connectionString,
  describeAddress,
  postgresCall,
  postgresProgramVersion,
  type PostgresAddress,
} from "./call.ts";
export { DEBIAN_VERSIONS, withoutWrapper } from "./debian-wrapper.ts";
export { quoteIdentifier, quoteLiteral } from "../query.ts";
export { clientMessage, SQLSTATE_ARGUMENTS, withoutRowValues } from "./refusal.ts";
export type { PostgresSession } from "./session.ts";
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
  /** Without it, all transactions are read-only, and the server rejects every statement that writes. */
  readonly writes?: boolean;
  /** Milliseconds without any data while a query runs, after which the connection is closed. No limit by default. */
  readonly responseTimeout?: number;
}

/**
 * Connection parameters that every connection pooler knows and gives back to each of its clients: anything else, and
 * `options` above all, it refuses or leaves on the server connection (PgBouncer documentation, ignore_startup_parameters).
 */
export const CLIENT_PARAMETERS = { client_encoding: "UTF8", application_name: "synlift" } as const;

/** A session may see itself in pg_stat_activity whatever its role is. */
const OWN_BACKEND = `
  SELECT pg_backend_pid() AS pid,
    (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS "startedAt"`;

export function realPostgres(programs: Programs): Postgres {
  const ownBackends: Backend[] = [];
  let found: Promise<string> | undefined;
  const open = async (to: PostgresAddress, writes = false): Promise<PsqlSession> => {
    const kept = { keepalives_idle: "60", connect_timeout: "15", ...to.parameters, ...CLIENT_PARAMETERS };
    const name = to.commandPrefix ? "psql" : await (found ??= withoutWrapper("psql", programs));
    const psql = postgresCall(name, { ...to, parameters: kept }, [
      "--no-psqlrc",
      "--quiet",
      "--no-align",
      "--tuples-only",
    ]);
    const session = new PsqlSession(await programs.start(psql), to, {
      access: writes ? "READ WRITE" : "READ ONLY",
      ownBackends,
    });
    await session.connect();
    ownBackends.push(await session.one<Backend>(OWN_BACKEND));
    return session;
  };
  return {
    async connect(to, { writes = false, responseTimeout } = {}) {
      const session = await open(to, writes).catch(async (error: unknown) => {
        throw reasonOf(error, "no-connection") ? await withReason(error as MigrationError, to) : error;
      });
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
