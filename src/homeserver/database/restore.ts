import { Readable } from "node:stream";
import { MigrationError, type Reason } from "../../errors.ts";
import type { ByteTransform, Bytes } from "../../pipeline/transform.ts";
import {
  type Postgres,
  type PostgresAddress,
  postgresCall,
  SQLSTATE_ARGUMENTS,
  withoutRowValues,
} from "../../system/postgres/postgres.ts";
import type { ExitStatus, Programs } from "../../system/programs/programs.ts";
import { type Kept, removeExcludedRows } from "../scope.ts";
import { HALF_FILLED_HINT, removeMark } from "./fill/interrupted.ts";
import { UNCHANGED_HINT } from "./fill/pg-restore.ts";
import { restrictDump } from "./fill/restrict.ts";
import { setSearchPathSql } from "./fill/search-path.ts";
import type { Store } from "./store.ts";

export interface RestoreOptions {
  readonly programs: Programs;
  readonly psql: string;
  readonly restrictKey: string | undefined;
  /** Changes the dump on its way, such as `leaveOutUnknownSettings`. */
  readonly adapt?: ByteTransform;
  readonly store?: Store;
  /** Which rows stay besides those of uploads. */
  readonly kept?: Kept | undefined;
}

/**
 * Restores into an empty database, all or nothing: one transaction, whose COMMIT is only sent once `dump` has ended
 * without an error, so once gpg has verified the last byte. May set the search_path of the database's user. Throws `restore-failed`; then the database is unchanged.
 */
export async function restoreDatabase(
  address: PostgresAddress,
  dump: Bytes,
  { programs, psql, restrictKey, adapt, store = "main", kept }: RestoreOptions,
): Promise<void> {
  const script = async function* (): Bytes {
    yield Buffer.from("BEGIN;\n");
    yield* restrictDump(restrictKey)(adapt ? adapt(dump) : dump);
    yield Buffer.from(committed(afterRows(store, kept)));
  };
  await commit(address, script(), { programs, psql, hint: UNCHANGED_HINT });
}

/**
 * The last steps of a restore whose data pg_restore has loaded, all or nothing: see `restoreDatabase`.
 * Also drops the mark of an incomplete restore. Throws `restore-failed`.
 */
export async function finishDatabase(
  address: PostgresAddress,
  {
    programs,
    psql,
    store = "main",
    kept,
    mark,
    allRows = false,
  }: Omit<RestoreOptions, "restrictKey" | "adapt"> & {
    mark: string;
    /** Leave the rows that are not moved: the source still changes them, and so would a copy that follows it. */
    allRows?: boolean;
  },
): Promise<void> {
  const last = allRows ? setSearchPathSql(store) : afterRows(store, kept);
  const script = Readable.from([Buffer.from(`BEGIN;\n${removeMark(mark)}${committed(last)}`)]);
  await commit(address, script, { programs, psql, hint: HALF_FILLED_HINT });
}

/** The dump leaves an empty search_path behind; these are to find Synapse's tables as Synapse does. */
function afterRows(store: Store, kept: Kept | undefined): string {
  const statements = store === "main" ? removeExcludedRows("postgres", kept) : [];
  return `${setSearchPathSql(store)}${statements.join("\n")}`;
}

const committed = (statements: string) => `\n${statements}\nCOMMIT;\n\\echo ${COMMITTED}\n`;

/** Runs a transaction in psql, which prints a line once it is committed. `hint` is for the error when it is not. */
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
    ...SQLSTATE_ARGUMENTS,
  ]);
  const asRestoreFailed = (failure: MigrationError, ended: ExitStatus) => {
    const { message, reason } = withoutRowValues(failure, ended);
    return restoreFailed(reason?.kind === "sqlstate" ? reason.message : message, hint, reason);
  };
  let said = "";
  for await (const chunk of programs.pipe({ ...call, mapError: asRestoreFailed }, script))
    said += Buffer.from(chunk).toString();
  // An exit code of 0 does not say how far psql came.
  if (!said.split("\n").includes(COMMITTED))
    throw restoreFailed("psql ended before the last statement", hint);
}

const COMMITTED = "synlift-committed";

const restoreFailed = (why: string, hint: string, reason?: Reason) =>
  new MigrationError("restore-failed", `the database could not be restored: ${why}`, { hint, reason });

/** Collects statistics: without them PostgreSQL chooses bad query plans, and the first hours are slow. */
export async function analyze(address: PostgresAddress, postgres: Postgres): Promise<void> {
  const session = await postgres.connect(address, { writes: true });
  await session.run("ANALYZE;").finally(() => session.close());
}
