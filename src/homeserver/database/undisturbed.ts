import { isRefusedAs, MigrationError, reasonOf } from "../../errors.ts";
import type { Progress } from "../../system/progress.ts";
import { sqlName, type PostgresSession } from "../../system/postgres.ts";
import { tables } from "./count.ts";

/** Milliseconds that a lock is waited for. */
export const LOCK_WAIT = 60_000;

/**
 * Begins a transaction in which every answer is of one state of the database, and in which every table stays as it is
 * until its end, with the lock that reading takes anyway, but all at once. A running Synapse drops the tables of its
 * background updates when these are done (synapse/storage/databases/main/user_directory.py,
 * `_populate_user_directory_cleanup`), and whoever wants to read one while such a drop waits, waits behind it: so nobody
 * may come to a table late.
 *
 * First the locks, then the state: a table that was rewritten or emptied after that state looks empty in it (PostgreSQL
 * documentation, Concurrency Control, Caveats). LOCK takes no snapshot, so none is taken while locks are waited for.
 * Throws as a query does, and `Disturbance`.
 */
export async function beginUndisturbed(session: PostgresSession, wait: number): Promise<void> {
  const before = await tableNames(session);
  await session.run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;");
  await session.run(`SET LOCAL lock_timeout = ${wait};`);
  if (before.length > 0) {
    await session.run(`LOCK TABLE ${before.join(", ")} IN ACCESS SHARE MODE;`).catch((error: unknown) => {
      throw error instanceof MigrationError && isRefusedAs(error, DISTURBED) ? disturbance(error) : error;
    });
  }
  const now = await tableNames(session);
  const changed = [...new Set([...before, ...now])].filter(
    (name) => !before.includes(name) || !now.includes(name),
  );
  if (changed.length === 0) return;
  throw new Disturbance("program-failed", `tables came or went: ${changed.slice(0, 3).join(", ")}`);
}

const tableNames = async (session: PostgresSession) =>
  (await tables(session)).map(({ schema, name }) => `${sqlName(schema)}.${sqlName(name)}`);

/** A dump did not begin, as somebody else was at a table. */
class Disturbance extends MigrationError {}

const disturbance = ({ code, message, hint, reason }: MigrationError) =>
  new Disturbance(code, message, { hint, reason });

/**
 * What a failure of pg_dump is, which was called as `pgDump`, once another connection was asked who is at the tables. pg_dump tells no SQLSTATE, and
 * what it hands on is in the server's language; but whoever kept it from a table holds a lock that nobody may read
 * beside, or waits for one: behind the locks of `beginUndisturbed`, which are held until it is given up.
 */
export async function asDisturbance(
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
    return locked ? disturbance(failure) : failure;
  } catch (error) {
    if (error instanceof MigrationError) return failure;
    throw error;
  }
}

/**
 * Does what begins with a look at all tables, and does it again after a `Disturbance`, where one was locked for long or
 * went away between look and lock: a drop that waits for our own reading waits until that is given up. `attempt` begins
 * a transaction of its own each time. What is wrong with the database for longer is thrown, with a hint.
 */
export async function undisturbed<T>(
  attempt: () => Promise<T>,
  progress: Pick<Progress, "note">,
): Promise<T> {
  for (let left = ATTEMPTS - 1; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Disturbance)) throw error;
      if (left === 0) throw disturbed(error);
      progress.note(
        "tables of the database were locked or dropped while its dump began, as the background updates of a running Synapse do: the dump is begun again",
      );
    }
  }
}

const ATTEMPTS = 3;

/**
 * What LOCK is refused with when somebody else is at a table: lock_not_available (the time-out), query_canceled (a limit
 * on statements), serialization_failure, deadlock_detected; undefined_table, and internal_error for one that was dropped
 * between its name and its lock.
 */
const DISTURBED = ["55P03", "57014", "40001", "40P01", "42P01", "XX000"];

const disturbed = (cause: MigrationError) =>
  new MigrationError(
    cause.code,
    `the database cannot be dumped, as tables of it stay locked or do not stay as they are: ${cause.message}`,
    {
      hint: "see who holds them, and let it end: SELECT pid, application_name, state, query FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock'); then run the same command again",
      cause,
    },
  );
