import { Readable } from "node:stream";
import { MigrationError, type Reason } from "../../errors.ts";
import type { Bytes } from "../../pipeline/stage.ts";
import {
  postgresCall,
  TELL_SQLSTATE_ARGUMENTS,
  withoutRows,
  type Postgres,
  type PostgresAddress,
} from "../../system/postgres.ts";
import type { Ending, Programs } from "../../system/programs.ts";
import { guarded } from "./guard.ts";
import { removeLeftBehind } from "../left-behind.ts";
import type { Kept } from "../media/kept.ts";
import { HALF_FILLED, removeMark } from "./half-filled.ts";
import { findTables } from "./search-path.ts";
import type { Store } from "./store.ts";

export interface RestoreOptions {
  readonly programs: Programs;
  readonly psql: string;
  readonly guardKey: string | undefined;
  readonly store?: Store;
  /** Which rows stay besides those of uploads. */
  readonly kept?: Kept | undefined;
}

/**
 * Fills an empty database, all of it or nothing: one transaction, whose COMMIT is only sent once `dump` has ended
 * well, so once gpg has proven the last byte. See `findTables` for what it may set for the database's user. Throws `restore-failed`; then the database is as it was.
 */
export async function restoreDatabase(
  address: PostgresAddress,
  dump: Bytes,
  { programs, psql, guardKey, store = "main", kept }: RestoreOptions,
): Promise<void> {
  const script = async function* (): Bytes {
    yield Buffer.from("BEGIN;\n");
    yield* guarded(guardKey)(dump);
    yield Buffer.from(afterDump(store, kept));
  };
  await commit(address, script(), { programs, psql, hint: AS_BEFORE });
}

/**
 * What belongs to a restore once a database was filled by other means, all of it or nothing: see `restoreDatabase`.
 * With it goes the mark of its being half filled. Throws `restore-failed`.
 */
export async function finishDatabase(
  address: PostgresAddress,
  { programs, psql, store = "main", kept, mark }: Omit<RestoreOptions, "guardKey"> & { mark: string },
): Promise<void> {
  const script = Readable.from([Buffer.from(`BEGIN;\n${removeMark(mark)}${afterDump(store, kept)}`)]);
  await commit(address, script, { programs, psql, hint: HALF_FILLED });
}

/** The dump leaves an empty search_path behind; these are to find Synapse's tables as Synapse does. */
function afterDump(store: Store, kept: Kept | undefined): string {
  const statements = store === "main" ? removeLeftBehind("postgres", kept) : [];
  return `\n${findTables(store)}${statements.join("\n")}\nCOMMIT;\n\\echo ${COMMITTED}\n`;
}

/** Gives psql a transaction that says at its end that it is committed. `hint`: what to do when it was not. */
async function commit(
  address: PostgresAddress,
  script: Bytes,
  { programs, psql, hint }: Pick<RestoreOptions, "programs" | "psql"> & { hint: string },
): Promise<void> {
  const call = postgresCall(psql, address, [
    "--no-psqlrc",
    "--quiet",
    "--tuples-only",
    "--output=/dev/null",
    ...TELL_SQLSTATE_ARGUMENTS,
  ]);
  const asNotFilled = (failure: MigrationError, ending: Ending) => {
    const { message, reason } = withoutRows(failure, ending);
    return notFilled(reason?.kind === "sqlstate" ? reason.sentence : message, hint, reason);
  };
  let said = "";
  for await (const chunk of programs.through({ ...call, explain: asNotFilled }, script))
    said += Buffer.from(chunk).toString();
  // An exit code of 0 does not say how far psql came.
  if (!said.split("\n").includes(COMMITTED)) throw notFilled("psql ended before the last statement", hint);
}

const COMMITTED = "synlift-committed";

const notFilled = (why: string, hint: string, reason?: Reason) =>
  new MigrationError("restore-failed", `the database could not be filled: ${why}`, { hint, reason });

/** What to do when filling within one transaction has failed, for people. */
export const AS_BEFORE =
  "nothing was kept: the database is as empty as before; run the same command again once the cause is gone";

/** Whether this user may do anything to the server: then a dump that somebody else made could run programs there. */
export async function isSuperuser(address: PostgresAddress, postgres: Postgres): Promise<boolean> {
  const session = await postgres.connect(address);
  const asked = session.one<{ super: boolean }>(
    "SELECT rolsuper AS super FROM pg_roles WHERE rolname = current_user",
  );
  return (await asked.finally(() => session.close())).super;
}

/** Plans made on an empty table are bad plans: without this the first hours are slow. */
export async function analyze(address: PostgresAddress, postgres: Postgres): Promise<void> {
  const session = await postgres.connect(address);
  await session.run("ANALYZE;").finally(() => session.close());
}
