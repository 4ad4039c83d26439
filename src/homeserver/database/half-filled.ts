import { MigrationError } from "../../errors.ts";
import {
  describeAddress,
  sqlText,
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
} from "../../system/postgres.ts";
import type { Machine } from "../../system/machine.ts";
import { tables } from "./count.ts";
import { OWN_SCHEMAS } from "./own-schemas.ts";
import { isMissingDatabase } from "./inspect-target.ts";

/** As what pg_restore is known to the server, so that one that outlived its run can be ended. */
export const FILLING_AS = "synlift pg_restore";

/**
 * How many tables an interrupted run has left in a database. Throws `target-not-empty` when there are others than the
 * bundle's: then it is not only what that run has left.
 */
export async function tablesLeft(
  address: PostgresAddress,
  rows: Readonly<Record<string, number>>,
  postgres: Postgres,
): Promise<number> {
  const session = await connectIfThere(address, postgres);
  if (!session) return 0;
  const found = await tables(session).finally(() => session.close());
  const others = found.map(({ schema, name }) => `${schema}.${name}`).filter((name) => !(name in rows));
  if (others.length === 0) return found.length;
  throw new MigrationError(
    "target-not-empty",
    `an interrupted restore has half filled database ${describeAddress(address)}, and it holds tables that are none of the bundle's: ${others.slice(0, 3).join(", ")}`,
    { hint: "nothing of it is removed: look whose they are, and drop the database or name another one" },
  );
}

/**
 * Takes everything out of a database that an interrupted run has half filled: first whoever still fills it, then what is
 * there, all or nothing. Does nothing when the database is gone.
 */
export async function emptyDatabase(
  address: PostgresAddress,
  { postgres, machine }: { postgres: Postgres; machine: Pick<Machine, "wait"> },
): Promise<void> {
  const session = await connectIfThere(address, postgres);
  if (!session) return;
  try {
    await endFilling(session, machine);
    await session.run(EMPTY);
  } finally {
    await session.close();
  }
}

/** Milliseconds between two looks, and how often. */
const LOOK_EVERY = 200;
const LOOKS = 150;

async function endFilling(session: PostgresSession, machine: Pick<Machine, "wait">): Promise<void> {
  for (let look = 0; look < LOOKS; look += 1) {
    const ended = await session.all<{ ended: boolean }>(`
      SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
      WHERE datname = current_database() AND usename = current_user AND application_name = ${sqlText(FILLING_AS)}`);
    if (ended.length === 0) return;
    await machine.wait(LOOK_EVERY);
  }
}

async function connectIfThere(
  address: PostgresAddress,
  postgres: Postgres,
): Promise<PostgresSession | undefined> {
  try {
    return await postgres.connect(address);
  } catch (error) {
    if (isMissingDatabase(error)) return undefined;
    throw error;
  }
}

/** No object of an extension (e), and nothing that goes with a table by itself, such as the sequence of a column (i, a). */
const ofItself = (catalogue: string, oid: string) =>
  `NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '${catalogue}'::regclass AND d.objid = ${oid} AND d.deptype IN ('e', 'i', 'a') AND d.refobjid <> d.objid AND d.refclassid IN ('pg_class'::regclass, 'pg_extension'::regclass))`;

/** What belongs to an extension stays: a dump creates those only where they are not there. */
const EMPTY = `
DO $empty$
DECLARE one text;
BEGIN
  FOR one IN
    SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace n
    WHERE ${OWN_SCHEMAS} AND nspname <> 'public' AND ${ofItself("pg_namespace", "n.oid")}
    UNION ALL
    SELECT format('DROP %s IF EXISTS %I.%I CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
        WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, nspname, relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE nspname = 'public' AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND ${ofItself("pg_class", "c.oid")}
    UNION ALL
    SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE nspname = 'public' AND ${ofItself("pg_proc", "p.oid")}
    UNION ALL
    SELECT format('DROP TYPE IF EXISTS %I.%I CASCADE', nspname, typname)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE nspname = 'public' AND typtype IN ('e', 'd') AND ${ofItself("pg_type", "t.oid")}
  LOOP
    EXECUTE one;
  END LOOP;
END
$empty$;`;
