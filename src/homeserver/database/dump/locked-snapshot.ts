import { hasSqlstate, MigrationError, reasonOf } from "../../../errors.ts";
import { type PostgresSession, quoteIdentifier } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import { listTables } from "../count.ts";

/** Lock time-out in milliseconds. */
export const LOCK_TIMEOUT = 60_000;

/**
 * Begins a transaction with one snapshot of the database, in which every table is locked against DROP and ALTER
 * until its end, with the lock that reading takes anyway, but on all tables at once. A running Synapse drops the tables of its
 * background updates when these are done (synapse/storage/databases/main/user_directory.py,
 * `_populate_user_directory_cleanup`), and a reader that comes while such a drop waits for its lock queues behind it: so
 * all tables are locked at the start.
 *
 * First the locks, then the snapshot: a table that was rewritten or truncated after the snapshot looks empty in it (PostgreSQL
 * documentation, Concurrency Control, Caveats). LOCK takes no snapshot, so none is taken while locks are waited for.
 * Throws as a query does, and `LockConflict`.
 */
export async function beginLockedSnapshot(session: PostgresSession, wait: number): Promise<void> {
  const before = await tableNames(session);
  await session.beginSnapshot();
  await session.run(`SET LOCAL lock_timeout = ${wait};`);
  if (before.length > 0) {
    await session.run(`LOCK TABLE ${before.join(", ")} IN ACCESS SHARE MODE;`).catch((error: unknown) => {
      throw error instanceof MigrationError && hasSqlstate(error, LOCK_CONFLICT)
        ? lockConflict(error)
        : error;
    });
  }
  const now = await tableNames(session);
  const changed = [...new Set([...before, ...now])].filter(
    (name) => !before.includes(name) || !now.includes(name),
  );
  if (changed.length === 0) return;
  throw new LockConflict(
    "program-failed",
    `tables were created or dropped: ${changed.slice(0, 3).join(", ")}`,
  );
}

const tableNames = async (session: PostgresSession) =>
  (await listTables(session)).map(
    ({ schema, name }) => `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`,
  );

/** A dump could not begin, as another session locked or dropped a table. */
class LockConflict extends MigrationError {}

const lockConflict = ({ code, message, hint, reason }: MigrationError) =>
  new LockConflict(code, message, { hint, reason });

/**
 * Converts a failure of pg_dump to a lock conflict, if it was one; otherwise returns it unchanged. `pgDump` is the name it
 * was called by. pg_dump reports no SQLSTATE, and the message that it passes on is in the server's language. So another
 * connection looks for the session that kept pg_dump from a table: it holds an ACCESS EXCLUSIVE lock, or waits
 * for one behind the locks of `beginLockedSnapshot`, which must still be held.
 */
export async function asLockConflict(
  failure: unknown,
  pgDump: string,
  connect: () => Promise<PostgresSession>,
): Promise<unknown> {
  const ended = reasonOf(failure, "exit-status");
  if (!(failure instanceof MigrationError) || ended?.status !== 1 || ended.program !== pgDump) return failure;
  try {
    const session = await connect();
    const { locked } = await session
      .one<{ locked: boolean }>(
        `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'
         AND pid <> pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS locked`,
      )
      .finally(() => session.close());
    return locked ? lockConflict(failure) : failure;
  } catch (error) {
    if (error instanceof MigrationError) return failure;
    throw error;
  }
}

/**
 * Runs `attempt`, and runs it again after a lock conflict, where a table was locked for long or
 * dropped before it was locked: a drop that waits for our own lock succeeds once we give up. `attempt` begins
 * a new transaction each time. A conflict that persists is thrown, with a hint.
 */
export async function retryLockedSnapshot<T>(
  attempt: () => Promise<T>,
  progress: Pick<Progress, "note">,
): Promise<T> {
  for (let left = ATTEMPTS - 1; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof LockConflict)) throw error;
      if (left === 0) throw locksPersist(error);
      progress.note(
        "tables of the database were locked or dropped while its dump began, as the background updates of a running Synapse do: the dump is started again",
      );
    }
  }
}

const ATTEMPTS = 3;

/**
 * The SQLSTATEs of LOCK when another session uses a table: lock_not_available (the time-out), query_canceled (a limit on
 * statements), serialization_failure, deadlock_detected, undefined_table, and internal_error for a table that was dropped
 * between the lookup of its name and its lock.
 */
const LOCK_CONFLICT = ["55P03", "57014", "40001", "40P01", "42P01", "XX000"];

const locksPersist = (cause: MigrationError) =>
  new MigrationError(
    cause.code,
    `the database cannot be dumped, as its tables stay locked or keep changing: ${cause.message}`,
    {
      hint: "find the session that holds the locks, and end it: SELECT pid, application_name, state, query FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock'); then run the same command again",
      cause,
    },
  );
