import { MigrationError, reasonOf, type NoConnection } from "../errors.ts";
import { describeAddress, postgresCall, type PostgresAddress } from "./postgres-call.ts";
import { TELL_SQLSTATE } from "./postgres-refusal.ts";
import { PsqlSession, type PostgresSession } from "./psql-session.ts";
import { databaseNameIn, hintFor, readinessOf } from "./postgres-unreachable.ts";
import type { Programs } from "./programs.ts";
import { sqlText } from "./query.ts";

export {
  connectionString,
  describeAddress,
  postgresCall,
  postgresProgramVersion,
  type PostgresAddress,
} from "./postgres-call.ts";
export { clientWords, TELL_SQLSTATE_ARGUMENTS, withoutRows } from "./postgres-refusal.ts";
export type { PostgresSession } from "./psql-session.ts";
export { isLocalSocket } from "./postgres-unreachable.ts";
export { sqlName, sqlText } from "./query.ts";

/**
 * PostgreSQL through its own programs. They and Synapse's driver share libpq, so what Synapse reaches (sockets,
 * peer authentication, password files, services, TLS) these reach in the same way.
 */
export interface Postgres {
  /**
   * Throws `database-unreachable` with the server's own words and, as the reason, what was found out beside them
   * (`NoConnection`); `program-missing` without psql.
   */
  connect(to: PostgresAddress, options?: ConnectOptions): Promise<PostgresSession>;
}

export interface ConnectOptions {
  /** The server itself refuses every statement that would write, for as long as the connection lasts. */
  readonly readOnly?: boolean;
  /** Milliseconds that the server may say nothing while it is asked; then the connection is over. No limit when left out. */
  readonly patience?: number;
}

const SET_UP = `
${Object.entries(TELL_SQLSTATE)
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

/** Sequences too: nextval and setval are refused as well (PostgreSQL documentation, SET TRANSACTION). */
const READ_ONLY = "SET default_transaction_read_only = on;";

export function realPostgres(programs: Programs): Postgres {
  const open = async (to: PostgresAddress): Promise<PsqlSession> => {
    const kept = { keepalives_idle: "60", connect_timeout: "15", ...to.parameters };
    const psql = postgresCall("psql", { ...to, parameters: kept }, [
      "--no-psqlrc",
      "--quiet",
      "--no-align",
      "--tuples-only",
    ]);
    const session = new PsqlSession(await programs.open(psql), to);
    await session.run(SET_UP);
    session.isConnected = true;
    return session;
  };
  return {
    async connect(to, { readOnly = false, patience } = {}) {
      const session = await open(to).catch(async (error: unknown) => {
        throw reasonOf(error, "no-connection") ? await withReason(error as MigrationError, to) : error;
      });
      if (readOnly) await session.run(READ_ONLY);
      session.patience = patience;
      return session;
    },
  };

  async function withReason(failure: MigrationError, to: PostgresAddress): Promise<MigrationError> {
    const server = await readinessOf(to, programs);
    const asked = server === "refuses" || server === "unknown";
    const database = asked ? await lookFor(databaseNameIn(to), to) : "unknown";
    const reason: NoConnection = { kind: "no-connection", server, database };
    const missing = `${describeAddress(to)}: there is no database ${databaseNameIn(to) ?? ""}`;
    return new MigrationError(
      failure.code,
      database === "missing" ? `cannot use database ${missing}` : failure.message,
      { hint: hintFor(reason, to), reason, cause: failure },
    );
  }

  /** Whether the server has such a database, where the same user may enter another one. */
  async function lookFor(name: string | undefined, to: PostgresAddress): Promise<NoConnection["database"]> {
    if (name === undefined) return "unknown";
    for (const dbname of MAINTENANCE.filter((one) => one !== name)) {
      try {
        const session = await open({ ...to, parameters: { ...to.parameters, dbname } });
        const { there } = await session
          .one<{ there: boolean }>(
            `SELECT EXISTS (SELECT FROM pg_database WHERE datname = ${sqlText(name)}) AS there`,
          )
          .finally(() => session.close());
        return there ? "there" : "missing";
      } catch (error) {
        if (!(error instanceof MigrationError)) throw error;
      }
    }
    return "unknown";
  }
}

/** Databases that every cluster begins with (PostgreSQL documentation, Template Databases). */
const MAINTENANCE = ["postgres", "template1"];
