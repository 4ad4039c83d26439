import { MigrationError } from "../../../errors.ts";
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
  await session.run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;");
  await session.run(`SET LOCAL lock_timeout = ${wait};`);
  if (before.length > 0) {
    await session.run(`LOCK TABLE ${before.join(", ")} IN ACCESS SHARE MODE;`).catch((error: unknown) => {
      throw error instanceof MigrationError ? asLockConflict(error) : error;
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

/** Converts a failure of LOCK or pg_dump, where its message shows a lock conflict; otherwise returns it unchanged. */
export const asLockConflict = (failure: MigrationError): MigrationError =>
  LOCK_CONFLICT.test(failure.message)
    ? new LockConflict(failure.code, failure.message, { hint: failure.hint, cause: failure })
    : failure;

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

/** What pg_dump and psql say of it, in English. pg_dump has its limit on locks as one on statements. */
const LOCK_CONFLICT =
  /canceling statement due to (?:statement|lock) timeout|relation "[^"]*" does not exist|could not open relation with OID|deadlock detected/;

const locksPersist = (cause: MigrationError) =>
  new MigrationError(
    cause.code,
    `the database cannot be dumped, as its tables stay locked or keep changing: ${cause.message}`,
    {
      hint: "find the session that holds the locks, and end it: SELECT pid, application_name, state, query FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock'); then run the same command again",
      cause,
    },
  );
