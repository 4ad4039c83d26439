import { join } from "node:path";
import { MigrationError } from "../../../../errors.ts";
import { formatBytes } from "../../../../report/units.ts";
import type { Files } from "../../../../system/files/files.ts";
import type { Machine } from "../../../../system/machine.ts";
import {
  type Postgres,
  type PostgresAddress,
  postgresCall,
  postgresProgramVersion,
  type PostgresSession,
  quoteIdentifier,
  quoteLiteral,
  SQLSTATE_ARGUMENTS,
  withoutRowValues,
} from "../../../../system/postgres/postgres.ts";
import type { ProgramCall, Programs } from "../../../../system/programs/programs.ts";
import type { Progress } from "../../../../system/progress.ts";
import type { QuerySession } from "../../../../system/query.ts";
import { excludeExtensions } from "../../dump/extensions.ts";
import { SCHEMA_ARGUMENTS } from "../../export.ts";
import { runPgRestore } from "../../fill/pg-restore.ts";
import { UNENCRYPTED_DUMP } from "../../fill/unencrypted-dump.ts";
import { watchFreeSpace } from "../free-space.ts";
import { keyOf, quoteTable, type TableName } from "./tables.ts";

/** What a table holds: its rows, and a number made of all of them in which their order does not count. */
export interface Contents {
  readonly rows: number;
  /** As text: it has more digits than a double. "0" for no rows. */
  readonly digest: string;
}

/** By `keyOf`. */
export type ContentsOfTables = Readonly<Record<string, Contents>>;

export interface CopyOrder {
  readonly source: PostgresAddress;
  /** An empty database, as the role that will own the tables. */
  readonly target: PostgresAddress;
  /** The tables whose rows are copied; of all others only the definition. */
  readonly tables: readonly TableName[];
  readonly snapshot: string;
  /** The data folder of the target's server, on this host. */
  readonly data: string;
  /** For the definitions of the tables, which hold no rows; exists, is private, and is the caller's to remove. */
  readonly folder: string;
  readonly programs: { readonly pgDump: string; readonly pgRestore: string; readonly psql: string };
  /** Tables copied at the same time, and indexes made. */
  readonly jobs: number;
  /** Called when the snapshot is no longer needed: while indexes are made, the old database need not keep old versions of rows. */
  readonly snapshotRead: () => Promise<void>;
}

interface Reach {
  readonly postgres: Postgres;
  readonly programs: Programs;
  readonly files: Files;
  readonly machine: Pick<Machine, "wait">;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * Copies a database out of one snapshot into an empty one: definitions, rows with several connections at once, then indexes and
 * constraints. Rows go from server to server through pipes: none is ever on the disk of this host outside of the database. Returns
 * what both sides held at that position of the log, which is the same. Throws `program-failed`, `restore-failed`, `disk-full`; then the
 * target is incomplete.
 */
export async function copyDatabase(order: CopyOrder, reach: Reach): Promise<ContentsOfTables> {
  const { tables, data } = order;
  const held = await watchFreeSpace(data, () => fillTarget(order, reach), diskFull(data), reach);
  await compareWithSource(order, held, reach);
  return Object.fromEntries(tables.map((table) => [keyOf(table), held.get(keyOf(table))!]));
}

const diskFull = (data: string) => (free: number, cause: MigrationError) =>
  new MigrationError(
    "disk-full",
    `the disk of the new PostgreSQL, with its data in ${data}, became full during the copy: ${formatBytes(free)} were left`,
    {
      hint: "make room there, see that PostgreSQL runs, and run the same command again: the copy begins from its start. The old server keeps its log for it meanwhile, within its limit",
      cause,
    },
  );

/** Returns what the source held. */
async function fillTarget(order: CopyOrder, reach: Reach): Promise<Map<string, Contents>> {
  const { target, folder, jobs, programs } = order;
  await dumpDefinitions(order, reach);
  const restore = { folder, pgRestore: programs.pgRestore };
  await runPgRestore(target, { ...restore, jobs: 1, section: "pre-data" }, reach);
  const held = await copyRows(order, reach);
  await order.snapshotRead();
  reach.progress.begin({ id: INDEXES, label: "indexes and constraints of the new database", unit: "files" });
  await runPgRestore(target, { ...restore, jobs, section: "post-data" }, reach);
  reach.progress.end(INDEXES);
  return held;
}

const ROWS = "follow/rows";
const INDEXES = "follow/indexes";
const COMPARISON = "follow/comparison";

/** The definitions as pg_dump sees them in the snapshot, in a file that pg_restore can read in several sessions. */
async function dumpDefinitions(
  { source, snapshot, folder, target, programs: { pgDump } }: CopyOrder,
  { postgres, programs, files }: Reach,
): Promise<void> {
  const { major } = await postgresProgramVersion(pgDump, programs, source.commandPrefix);
  const session = await postgres.connect(source);
  const extensions = await excludeExtensions(session, major).finally(() => session.close());
  const args = [...SCHEMA_ARGUMENTS.filter((one) => one !== "--format=plain"), "--format=custom"];
  const call = postgresCall(pgDump, source, [...args, ...extensions.args, `--snapshot=${snapshot}`]);
  const path = join(folder, UNENCRYPTED_DUMP);
  const file = await files.begin(path, 0o600, { sync: false });
  try {
    for await (const chunk of programs.pipe({ ...call, mapError: withoutRowValues })) await file.write(chunk);
    await file.finish();
  } finally {
    await file.abandon();
  }
  for (const account of target.account ? [target.account] : [])
    for (const one of [path, folder]) await files.setOwner(one, account.uid, account.gid);
}

interface ToCopy extends TableName {
  readonly bytes: number;
  /** PostgreSQL's estimate of its rows. */
  readonly estimate: number;
  /** Without columns that are generated: they are computed again. */
  readonly columns: readonly string[];
}

/** Copies and, in the same snapshot, reads what each table holds; the largest first, so that none is left over at the end. */
async function copyRows(order: CopyOrder, reach: Reach): Promise<Map<string, Contents>> {
  const { source, target, jobs } = order;
  const waiting = await inOneSession(source, reach, (session) => tablesToCopy(session, order.tables));
  const { progress } = reach;
  const total = waiting.reduce((sum, { estimate }) => sum + estimate, 0);
  progress.begin({ id: ROWS, label: "rows of the database", unit: "rows", total });
  const held = new Map<string, Contents>();
  const seen = { rows: 0 };
  const watching = watchCopies(target, seen, reach);
  try {
    await severalAtOnce(jobs, waiting, async (next) => {
      const session = await openSnapshot(order, reach);
      try {
        for (let table = next(); table; table = next()) {
          reach.signal.throwIfAborted();
          const contents = await contentsOf(session, table);
          // Most tables of a small server are empty, and two programs are started for each.
          if (contents.rows > 0) await copyTable(table, order, reach);
          held.set(keyOf(table), contents);
          seen.rows += contents.rows;
        }
      } finally {
        await session.close();
      }
    });
  } finally {
    await watching.stop();
  }
  progress.end(ROWS);
  return held;
}

async function copyTable(
  table: ToCopy,
  { source, snapshot, target, programs: { psql } }: CopyOrder,
  { programs }: Reach,
): Promise<void> {
  const { columns } = table;
  // A table without columns has rows too; COPY has no way to name none.
  const list = columns.length === 0 ? "" : ` (${columns.map(quoteIdentifier).join(", ")})`;
  const name = quoteTable(table);
  const read = copyCall(psql, source, [
    `BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`,
    `SET TRANSACTION SNAPSHOT ${quoteLiteral(snapshot)}`,
    "SET LOCAL row_security = off",
    `COPY ${name}${list} TO STDOUT`,
    "COMMIT",
  ]);
  const write = copyCall(psql, target, [`COPY ${name}${list} FROM STDIN`]);
  for await (const _ of programs.pipe(write, programs.pipe(read)));
}

/** UTF-8 on both sides, whatever an environment says; without limits of time that a role may have. */
function copyCall(psql: string, address: PostgresAddress, statements: readonly string[]): ProgramCall {
  const parameters = {
    ...address.parameters,
    client_encoding: "UTF8",
    application_name: "synlift",
    options:
      "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c extra_float_digits=1 -c datestyle=ISO",
  };
  const commands = statements.flatMap((one) => ["--command", one]);
  const call = postgresCall(psql, { ...address, parameters }, [
    ...["--no-psqlrc", "--quiet"],
    ...SQLSTATE_ARGUMENTS,
    ...commands,
  ]);
  return { ...call, mapError: withoutRowValues };
}

const tablesToCopy = async (session: QuerySession, tables: readonly TableName[]): Promise<ToCopy[]> => {
  const wanted = new Set(tables.map(keyOf));
  const found = await session.all<ToCopy>(`
    SELECT n.nspname AS schema, c.relname AS name, pg_table_size(c.oid) AS bytes, greatest(c.reltuples, 0)::bigint AS estimate,
      coalesce((SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
        AND NOT a.attisdropped AND coalesce(to_jsonb(a) ->> 'attgenerated', '') = ''), '[]') AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' ORDER BY 3 DESC, 1, 2`);
  return found.filter((one) => wanted.has(keyOf(one)));
};

async function openSnapshot({ source, snapshot }: CopyOrder, { postgres }: Reach): Promise<PostgresSession> {
  const session = await postgres.connect(source);
  try {
    await session.beginSnapshot();
    await session.run(`SET TRANSACTION SNAPSHOT ${quoteLiteral(snapshot)}; SET LOCAL row_security = off;`);
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

/**
 * What a table holds in this session's view of the database. The digest is the sum of a hash of each row as text: two sides of
 * different versions write the same text, as the settings that it depends on are the same.
 */
export const contentsOf = (session: QuerySession, table: TableName): Promise<Contents> =>
  session.one<Contents>(
    `SELECT count(*) AS rows, coalesce(sum(hashtextextended(t::text, 0)), 0)::text AS digest FROM ONLY ${quoteTable(table)} t`,
    { timezone: "UTC", intervalstyle: "postgres" },
  );

/** Throws `comparison-failed` naming the tables that differ. Nothing is replicated yet, so both sides stand still. */
async function compareWithSource(
  order: CopyOrder,
  held: ReadonlyMap<string, Contents>,
  reach: Reach,
): Promise<void> {
  const { target, tables, jobs } = order;
  const { progress } = reach;
  const total = [...held.values()].reduce((sum, { rows }) => sum + rows, 0);
  progress.begin({ id: COMPARISON, label: "comparison of all rows", unit: "rows", total });
  const differ: string[] = [];
  await severalAtOnce(jobs, tables, async (next) => {
    await inOneSession(target, reach, async (session) => {
      for (let table = next(); table; table = next()) {
        reach.signal.throwIfAborted();
        const here = await contentsOf(session, table);
        const there = held.get(keyOf(table));
        progress.advance(COMPARISON, here.rows);
        if (here.rows === there?.rows && here.digest === there.digest) continue;
        differ.push(
          here.rows === there?.rows
            ? `${keyOf(table)}: ${here.rows} rows on both sides, with other contents`
            : `${keyOf(table)}: ${here.rows} rows, ${there?.rows ?? 0} at the source`,
        );
      }
    });
  });
  progress.end(COMPARISON);
  if (differ.length === 0) return;
  throw new MigrationError(
    "restore-failed",
    `the copy differs from the old database at the same position of the log: ${differ.slice(0, 5).join("; ")}${differ.length > 5 ? `; and ${differ.length - 5} more tables` : ""}`,
    {
      hint: "nothing on the old host was changed by it: check the disks of both hosts and their servers' logs, then run the same command again, which copies anew",
    },
  );
}

async function inOneSession<T>(
  address: PostgresAddress,
  { postgres }: Reach,
  work: (session: PostgresSession) => Promise<T>,
): Promise<T> {
  const session = await postgres.connect(address);
  return work(session).finally(() => session.close());
}

/** Gives the items to several workers, each as often as it asks. The first failure is thrown when all of them have stopped. */
async function severalAtOnce<Item>(
  workers: number,
  items: readonly Item[],
  work: (next: () => Item | undefined) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  let failed = false;
  const next = () => (failed ? undefined : queue.shift());
  const ended = await Promise.allSettled(
    Array.from({ length: Math.max(1, Math.min(workers, items.length)) }, () =>
      work(next).catch((error: unknown) => {
        failed = true;
        throw error;
      }),
    ),
  );
  for (const one of ended) if (one.status === "rejected") throw one.reason;
}

/** Milliseconds between two looks at the rows that have arrived. */
const LOOK = 1_000;

/** Tells how many rows have arrived, those of tables that are half copied included, until it is stopped. */
function watchCopies(
  target: PostgresAddress,
  seen: { rows: number },
  reach: Reach,
): { stop(): Promise<void> } {
  const { progress, machine } = reach;
  const ended = new AbortController();
  let told = 0;
  const tell = (rows: number) => {
    if (rows <= told) return;
    progress.advance(ROWS, rows - told);
    told = rows;
  };
  const watching = inOneSession(target, reach, async (session) => {
    while (!ended.signal.aborted) {
      const { rows } = await session.one<{ rows: number }>(
        "SELECT coalesce(sum(tuples_processed), 0)::bigint AS rows FROM pg_stat_progress_copy WHERE datname = current_database()",
      );
      tell(seen.rows + rows);
      await machine.wait(LOOK, ended.signal).catch(() => undefined);
    }
    // It only informs: what is wrong with the target, the copy itself says.
  }).catch(() => undefined);
  return {
    async stop() {
      ended.abort();
      await watching;
      tell(seen.rows);
    },
  };
}
