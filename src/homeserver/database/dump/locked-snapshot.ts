import { MigrationError } from "../../../errors.ts";
import { type PostgresSession, sqlName } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import { tables } from "../count.ts";

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
      throw error instanceof MigrationError ? asDisturbance(error) : error;
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

/** The same failure, where it says so of somebody who locks tables: LOCK, or a pg_dump that takes its own locks. */
export const asDisturbance = (failure: MigrationError): MigrationError =>
  DISTURBED.test(failure.message)
    ? new Disturbance(failure.code, failure.message, { hint: failure.hint, cause: failure })
    : failure;

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

/** What pg_dump and psql say of it, in English. pg_dump has its limit on locks as one on statements. */
const DISTURBED =
  /canceling statement due to (?:statement|lock) timeout|relation "[^"]*" does not exist|could not open relation with OID|deadlock detected/;

const disturbed = (cause: MigrationError) =>
  new MigrationError(
    cause.code,
    `the database cannot be dumped, as tables of it stay locked or do not stay as they are: ${cause.message}`,
    {
      hint: "see who holds them, and let it end: SELECT pid, application_name, state, query FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock'); then run the same command again",
      cause,
    },
  );
