import { MigrationError } from "../../../errors.ts";
import type { Machine } from "../../../system/machine.ts";
import {
  describeAddress,
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
  quoteIdentifier,
  quoteLiteral,
} from "../../../system/postgres/postgres.ts";
import { listTables } from "../count.ts";
import { OBJECTS_IN_DATABASE } from "./contents.ts";
import { connectIfExists } from "./inspect-target.ts";

/** The application_name of pg_restore, so that one that outlived its run can be terminated. */
export const RESTORE_APPLICATION_NAME = "synlift pg_restore";
/** The application_name of Synapse's programs that fill a database from SQLite. */
export const PORT_APPLICATION_NAME = "synlift port";

const FILLING_PROGRAMS = [RESTORE_APPLICATION_NAME, PORT_APPLICATION_NAME].map(quoteLiteral).join(", ");

/**
 * The name of an empty table that exists in a database only while a restore is incomplete: the database's name and the names of
 * its tables are the same once it is restored and opened.
 */
export const newMark = (uuid: string) => `synlift_half_filled_${uuid.replaceAll("-", "")}`;
export const isMark = (text: string) => /^synlift_half_filled_[0-9a-f]{32}$/.test(text);

/** The journal entry of a database that a run began to restore. Earlier versions made no mark. */
export interface BegunRestore {
  readonly mark: string | undefined;
}

/** What such a run can leave: its mark, and tables of the bundle; any tables when these are not known beforehand. */
export interface InterruptedRestore extends BegunRestore {
  readonly rows: Readonly<Record<string, number>> | undefined;
}

/** Marks an empty database, in `public`, where this user may make tables (`inspectTarget`). */
export async function markHalfFilled(
  address: PostgresAddress,
  { mark, from }: { mark: string; /** In words: "bundle 1234". */ from: string },
  postgres: Postgres,
): Promise<void> {
  const session = await postgres.connect(address, { writes: true });
  const table = `public.${quoteIdentifier(mark)}`;
  const comment = `synlift is filling this database from ${from}; this table is dropped when that is complete`;
  const made = session.run(
    `CREATE TABLE ${table} (); COMMENT ON TABLE ${table} IS ${quoteLiteral(comment)};`,
  );
  await made.finally(() => session.close());
}

/** The hint after a failed restore. */
export const HALF_FILLED_HINT =
  "the database is incomplete now; fix the cause and run the same command again: it empties the database, after confirmation, and starts over";

/** For the transaction that finishes a database. */
export const removeMark = (mark: string) => `DROP TABLE public.${quoteIdentifier(mark)};`;

/** Whether the mark exists; false when the database does not exist. */
export async function isMarked(address: PostgresAddress, mark: string, postgres: Postgres): Promise<boolean> {
  const session = await connectIfExists(address, postgres);
  if (!session) return false;
  const found = await listTables(session).finally(() => session.close());
  return found.some(({ schema, name }) => schema === "public" && name === mark);
}

/**
 * Counts the tables that an interrupted run left in a database. Throws `target-not-empty` when there are any and its mark
 * is missing, or when there are tables that are not in the bundle: then they are not only from that run.
 */
export async function countLeftTables(
  address: PostgresAddress,
  left: InterruptedRestore,
  postgres: Postgres,
): Promise<number> {
  const session = await connectIfExists(address, postgres);
  if (!session) return 0;
  return (await checkLeftTables(session, address, left).finally(() => session.close())) ?? 0;
}

/**
 * Empties a database that an interrupted run left incomplete: terminates a program that still fills it, then drops what is
 * there, all or nothing. Does nothing when the database does not exist, or has no tables. Checks again first, as
 * time has passed since the confirmation: throws `target-not-empty` as the count does, and while anyone else is connected.
 */
export async function emptyDatabase(
  address: PostgresAddress,
  left: InterruptedRestore,
  { postgres, machine }: { postgres: Postgres; machine: Pick<Machine, "wait"> },
): Promise<void> {
  const session = await connectIfExists(address, postgres, { writes: true });
  if (!session) return;
  try {
    if ((await checkLeftTables(session, address, left)) === undefined) return;
    await terminateFilling(session, machine);
    await assertNoOtherConnections(session, address, machine);
    await checkLeftTables(session, address, left);
    await session.run(EMPTY);
  } finally {
    await session.close();
  }
}

/** Tables besides the mark; undefined when there is none at all. */
async function checkLeftTables(
  session: PostgresSession,
  address: PostgresAddress,
  { rows, mark }: InterruptedRestore,
): Promise<number | undefined> {
  const found = (await listTables(session)).map(({ schema, name }) => `${schema}.${name}`);
  if (found.length === 0) return undefined;
  const where = describeAddress(address);
  if (mark === undefined || !found.includes(`public.${mark}`))
    throw new MigrationError(
      "target-not-empty",
      `a restore of this bundle into database ${where} was interrupted, but its mark is missing among the ${found.length} tables in it`,
      {
        hint: "the database was filled by other means since, or by an earlier synlift, which made no mark; nothing is removed: if nothing in it is needed, drop the database and run the same command again, otherwise name another one",
      },
    );
  const others = found.filter((name) => name !== `public.${mark}` && rows !== undefined && !(name in rows));
  if (others.length === 0) return found.length - 1;
  throw new MigrationError(
    "target-not-empty",
    `an interrupted restore left database ${where} incomplete, and it holds tables that are not in the bundle: ${others.slice(0, 3).join(", ")}`,
    { hint: "nothing is removed: find out what created them, and drop the database or name another one" },
  );
}

/**
 * Of another role's connection a user without privileges sees no `backend_type` (PostgreSQL documentation,
 * pg_stat_activity); the server's own workers have no role. One that only asked something is gone in a moment.
 */
async function assertNoOtherConnections(
  session: PostgresSession,
  address: PostgresAddress,
  machine: Pick<Machine, "wait">,
): Promise<void> {
  const look = () =>
    session.all<{ who: string }>(`
    SELECT DISTINCT usename || CASE WHEN application_name <> '' THEN ' (' || application_name || ')' ELSE '' END AS who
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
      AND coalesce(backend_type, 'client backend') = 'client backend'
      AND application_name NOT IN ('synlift', ${FILLING_PROGRAMS})
    ORDER BY 1`);
  let others = await look();
  for (let looks = 1; others.length > 0 && looks < MAX_CONNECTION_POLLS; looks += 1) {
    await machine.wait(POLL_INTERVAL);
    others = await look();
  }
  if (others.length === 0) return;
  throw new MigrationError(
    "target-not-empty",
    `other clients are connected to database ${describeAddress(address)}, which an interrupted restore left incomplete: ${others.map(({ who }) => who).join(", ")}`,
    {
      hint: "it is emptied only while there are no other connections: end them and run the same command again, or name another database",
    },
  );
}

/** Milliseconds between two looks, and how often. */
const POLL_INTERVAL = 200;
const MAX_POLLS = 150;
const MAX_CONNECTION_POLLS = 6;

async function terminateFilling(session: PostgresSession, machine: Pick<Machine, "wait">): Promise<void> {
  for (let look = 0; look < MAX_POLLS; look += 1) {
    const ended = await session.all<{ ended: boolean }>(`
      SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
      WHERE datname = current_database() AND usename = current_user AND application_name IN (${FILLING_PROGRAMS})`);
    if (ended.length === 0) return;
    await machine.wait(POLL_INTERVAL);
  }
}

/** What belongs to an extension stays. One object may have gone with another. */
const EMPTY = `
DO $empty$
DECLARE one text;
BEGIN
  FOR one IN
    SELECT format('DROP %s IF EXISTS %s CASCADE', CASE WHEN kind IN ('function', 'procedure', 'aggregate') THEN 'routine'
      WHEN kind = 'composite type' THEN 'type' WHEN kind = 'statistics object' THEN 'statistics' ELSE kind END, name)
    FROM (${OBJECTS_IN_DATABASE}) objects ORDER BY kind <> 'schema'
  LOOP
    EXECUTE one;
  END LOOP;
END
$empty$;`;
