import { MigrationError, reasonOf } from "../../../errors.ts";
import {
  CLIENT_PARAMETERS,
  type PostgresAddress,
  postgresCall,
  SQLSTATE_ARGUMENTS,
  withoutRowValues,
} from "../../../system/postgres/postgres.ts";
import type { ProgramCall, Programs } from "../../../system/programs/programs.ts";

/** Rows of one of several queries, as COPY writes them: a row on a line. */
export interface CopyChunk {
  /** The query's position. */
  readonly query: number;
  /** Whole lines, each with its end. */
  readonly lines: Buffer;
  /** The last chunk of this query. */
  readonly last: boolean;
}

/**
 * Copies the results of several queries out of the database, one after another on one read-only connection.
 * Throws `program-failed` at the first that fails; queries with a `last` chunk before that are complete. Throws
 * `database-unreachable` for a failure of the connection, the server or a pooler in front of it.
 * No row may begin with `MARK`: let the first column be a number or a ctid.
 */
export async function* copyOut(
  queries: readonly string[],
  { address, encoding }: { address: PostgresAddress; encoding: string },
  programs: Programs,
): AsyncIterable<CopyChunk> {
  // psql runs the first command once it is connected: the mark of this one is number -1.
  let query = -1;
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of programs.pipe(callFor(queries, { address, encoding }))) {
      const held = Buffer.concat([rest, chunk]);
      const end = held.lastIndexOf(NEWLINE) + 1;
      const block = held.subarray(0, end);
      rest = held.subarray(end);
      let from = 0;
      for (let mark = endOfQuery(block, from); mark !== -1; mark = endOfQuery(block, from)) {
        if (query >= 0) yield { query, lines: block.subarray(from, mark), last: true };
        query += 1;
        from = mark + MARK_LINE.length;
      }
      if (from < block.length) yield { query, lines: block.subarray(from), last: false };
    }
  } catch (error) {
    throw error instanceof MigrationError &&
      error.code === "program-failed" &&
      !isQueryFault(error, query >= 0)
      ? new MigrationError("database-unreachable", error.message, { hint: error.hint, reason: error.reason })
      : error;
  }
}

function isQueryFault(error: MigrationError, isConnected: boolean): boolean {
  const refusal = reasonOf(error, "sqlstate");
  return isConnected && !(refusal && NOT_THE_QUERY.test(refusal.code));
}

/** One psql for all: a connection for each small table would take longer than reading it. */
function callFor(
  queries: readonly string[],
  { address, encoding }: { address: PostgresAddress; encoding: string },
): ProgramCall {
  // A transaction for each, as the locks of a longer one would keep a running server from altering its tables.
  const commands = queries.flatMap((query) => [
    `--command=BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY; ${UNLIMITED}`,
    `--command=COPY (${query}) TO STDOUT`,
    "--command=COMMIT",
    `--command=\\echo ${MARK}`,
  ]);
  const quiet = ["--no-psqlrc", "--quiet", ...SQLSTATE_ARGUMENTS];
  // A server that knows no encoding must not be asked to convert; any other converts, as pg_dump --encoding=UTF8 does.
  const client_encoding = encoding === "SQL_ASCII" ? "SQL_ASCII" : "UTF8";
  const parameters = { ...address.parameters, ...CLIENT_PARAMETERS, client_encoding };
  const call = postgresCall("psql", { ...address, parameters }, [
    ...quiet,
    `--command=\\echo ${MARK}`,
    ...commands,
  ]);
  return { ...call, mapError: withoutRowValues };
}

/** A role may have limits of its own. Sent together with the BEGIN, so that none of them can pass in between. */
const UNLIMITED = [
  "SET LOCAL statement_timeout = 0",
  "SET LOCAL idle_in_transaction_session_timeout = 0",
  "SET LOCAL lock_timeout = '60s'",
  "SET LOCAL bytea_output = hex",
].join("; ");

/**
 * SQLSTATEs that are no fault of what was read: connection (all of PgBouncer's own errors are 08P01), resources, locks, time limits, and
 * interventions of an operator except the crash of a server process (57P02), which a damaged table can cause.
 */
const NOT_THE_QUERY = /^(08|53|25P03|25P04|55P03|57014|57P01|57P03|57P05)/;

const NEWLINE = 10;
const MARK = "synlift-end-of-query";
const MARK_LINE = Buffer.from(`${MARK}\n`);

function endOfQuery(block: Buffer, from: number): number {
  const found = block.indexOf(MARK_LINE, from);
  return found === -1 || found === from || block[found - 1] === NEWLINE
    ? found
    : endOfQuery(block, found + 1);
}
