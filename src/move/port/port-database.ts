import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import { fillExclusively } from "../../homeserver/database/fill/exclusive.ts";
import {
  createDatabase,
  databaseExists,
  inspectTarget,
} from "../../homeserver/database/fill/inspect-target.ts";
import {
  type BegunRestore,
  emptyDatabase,
  markHalfFilled,
  newMark,
  removeMark,
} from "../../homeserver/database/fill/interrupted.ts";
import { creatorOf } from "../../homeserver/database/checks/known-tables.ts";
import type { PortFault } from "../../homeserver/database/port/inspect.ts";
import { type HeldReferences, putBackStatements, readCopy } from "../../homeserver/database/port/mend.ts";
import { PROGRESS_TABLE } from "../../homeserver/database/port/tables.ts";
import {
  comparePorted,
  countForPort,
  countPorted,
  type TableRows,
} from "../../homeserver/database/port/verify.ts";
import { analyze } from "../../homeserver/database/restore.ts";
import { describeBehind, raiseSequences } from "../../homeserver/database/sequences.ts";
import type { Finding } from "../../report/finding.ts";
import { formatCount } from "../../report/units.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { beginLog, type PortLog } from "./log.ts";
import { prepareCopy } from "./prepare-copy.ts";
import { finishUpdates, runPortScript, type ScriptRun } from "./script.ts";
import { startOnce } from "./start-once.ts";
import type { PortingSynapse } from "./synapse.ts";

/** What is copied, where to, and by which Synapse. */
export interface PortJob {
  readonly serverName: string;
  /** A private copy of the database, complete by itself; it is changed. */
  readonly copy: string;
  /** Where the rows come from, in words, for the mark in the new database. */
  readonly from: string;
  readonly target: PostgresAddress;
  readonly synapse: PortingSynapse;
  /** Whether a fault may be mended on the copy. */
  readonly allowed: (fault: PortFault) => Promise<boolean>;
  /** Let Synapse finish its background updates on the copy, also those that it queues when it opens it. */
  readonly finishUpdates: boolean;
  /** Milliseconds without a word of the script, after which it is ended. */
  readonly silence: number;
  /** Path of the log that is kept. */
  readonly log: string;
  /** What an earlier run left unfinished in the database. */
  readonly begun: BegunRestore | undefined;
  /** Records the mark before the database gets it. */
  readonly begins: (mark: string) => Promise<void>;
  /** The last check, before the database counts as finished; what it throws is thrown, and the database is emptied. */
  readonly settle: (rows: TableRows) => Promise<void>;
  /** Empty the database again instead of finishing it. */
  readonly rehearsal: boolean;
}

export type PortOutcome =
  | { readonly kind: "blocked"; readonly findings: readonly Finding[] }
  | {
      readonly kind: "ported";
      readonly findings: readonly Finding[];
      readonly rows: TableRows;
      /** Of each stage. */
      readonly seconds: PortSeconds;
    };

export interface PortSeconds {
  readonly checks: number;
  readonly script: number;
  readonly after: number;
}

/**
 * Fills an empty PostgreSQL database from a private copy of one of SQLite, with synapse_port_db, and proves it: every
 * table is counted, every sequence is raised to what is in use, and a Synapse is started on it in isolation. Until all of
 * that is done the database has a mark, by which an unfinished one is recognised; when something fails, it is emptied again.
 * Throws `port-failed`, `target-not-empty`, `target-unsuitable`, `database-unreachable`.
 */
export async function portDatabase(job: PortJob, system: System, progress: Progress): Promise<PortOutcome> {
  const log = await beginLog(job.log, system.files);
  const run: ScriptRun = { ...job, log };
  try {
    return await portWithLog(job, run, log, system, progress);
  } finally {
    await log.close();
  }
}

async function portWithLog(
  job: PortJob,
  run: ScriptRun,
  log: PortLog,
  system: System,
  progress: Progress,
): Promise<PortOutcome> {
  const { machine, sqlite, postgres } = system;
  const { copy, target } = job;
  const began = machine.elapsed();
  const updates = { finishUpdates: () => finishUpdates(run, system, progress), always: job.finishUpdates };
  const prepared = await prepareCopy(copy, job.allowed, updates, system);
  if (prepared.kind === "blocked") return prepared;
  const rows = await readCopy(copy, sqlite, async (session) => {
    await session.beginSnapshot();
    return countForPort(session);
  });
  const checked = machine.elapsed();
  const wanted = { address: target, section: { serverVersion: 0 } };
  const there = job.begun ? databaseExists(target, postgres) : inspectTarget(wanted, postgres);
  if (!(await there)) await createDatabase(target, postgres);
  return fillExclusively(target, postgres, async () => {
    if (job.begun) await emptyDatabase(target, { ...job.begun, rows: undefined }, system);
    // Another run may have filled it a moment ago.
    await inspectTarget(wanted, postgres);
    const mark = newMark(machine.uuid());
    await job.begins(mark);
    await markHalfFilled(target, { mark, from: job.from }, postgres);
    try {
      await runPortScript(run, rows, system, progress).catch(async (error: unknown) => {
        throw await withQueuedUpdates(error, copy, system);
      });
      const scripted = machine.elapsed();
      const findings = await finish(job, run, { rows, held: prepared.held, mark }, system, progress);
      const ended = machine.elapsed();
      return {
        kind: "ported",
        findings: [...prepared.findings, ...findings],
        rows,
        seconds: {
          checks: (checked - began) / 1000,
          script: (scripted - checked) / 1000,
          after: (ended - scripted) / 1000,
        },
      };
    } catch (error) {
      await log.say(`ended: ${error instanceof MigrationError ? error.message : "an unexpected error"}`);
      await emptyAfterFailure(target, mark, system, progress);
      throw error;
    }
  });
}

/** Synapse queues updates when it opens a database that an older one wrote to; its program then copies nothing. */
async function withQueuedUpdates(
  error: unknown,
  copy: string,
  { sqlite }: Pick<System, "sqlite">,
): Promise<unknown> {
  if (!(error instanceof MigrationError)) return error;
  const queued = await readCopy(copy, sqlite, (session) =>
    session.all<{ name: string }>("SELECT update_name AS name FROM background_updates ORDER BY 1"),
  );
  if (queued.length === 0) return error;
  return new MigrationError(
    "port-failed",
    `Synapse has queued background updates in the copy, and copies nothing before they are finished: ${queued.map(({ name }) => name).join(", ")}`,
    { hint: "let it finish them on the copy: --fix pending-updates", cause: error },
  );
}

/** Everything that the script lacks. The mark goes last, with what is only right in a finished database. */
async function finish(
  job: PortJob,
  run: ScriptRun,
  { rows, held, mark }: { rows: TableRows; held: readonly HeldReferences[]; mark: string },
  system: System,
  progress: Progress,
): Promise<Finding[]> {
  const { target } = job;
  const { postgres } = system;
  const compared = await compare(rows, target, system);
  const writing = await postgres.connect(target, { writes: true });
  const raised = await (async () => {
    try {
      const statements = [...putBackStatements(held), `DROP TABLE IF EXISTS ${PROGRESS_TABLE};`];
      await writing.run(statements.join("\n"));
      return await raiseSequences(writing);
    } finally {
      await writing.close();
    }
  })();
  await analyze(target, postgres);
  await startOnce(run, system, progress);
  // A Synapse in isolation changes nothing. What it did change would be missed later.
  await compare(rows, target, system);
  await job.settle(rows);
  if (job.rehearsal) await emptyDatabase(target, { mark, rows: undefined }, system);
  const directory = !job.rehearsal && (await removeMarkLast(target, rows, mark, system));
  return [
    ...compared,
    ...references(held),
    {
      id: "port-sequences",
      level: "ok",
      sentence:
        raised.length === 0
          ? "no sequence is behind the ids in use"
          : `${raised.length} ${raised.length === 1 ? "sequence was" : "sequences were"} behind the ids in use, and ${raised.length === 1 ? "was" : "were"} raised`,
      evidence: raised.map(describeBehind),
    },
    {
      id: "port-started",
      level: "ok",
      sentence: "a Synapse in isolation started on the new database, and changed nothing in it",
    },
    ...(directory
      ? [
          {
            id: "port-directory",
            level: "note" as const,
            sentence:
              "the user directory is built again when the server starts: until then a search for users finds little",
          },
        ]
      : []),
  ];
}

/** In one transaction with what is only right in a finished database. Whether the user directory will be built again. */
async function removeMarkLast(
  target: PostgresAddress,
  rows: TableRows,
  mark: string,
  { postgres }: Pick<System, "postgres">,
): Promise<boolean> {
  const built = (rows["user_directory_stream_pos"] ?? 0) > 0;
  const session = await postgres.connect(target, { writes: true });
  const statements = [...(built ? REBUILD_DIRECTORY : []), removeMark(mark)];
  await session.run(statements.join("\n")).finally(() => session.close());
  return built;
}

function references(held: readonly HeldReferences[]): Finding[] {
  if (held.length === 0) return [];
  const count = held.reduce((sum, { pairs }) => sum + pairs.length, 0);
  return [
    {
      id: "port-references",
      level: "ok",
      sentence: `${formatCount(count)} ${count === 1 ? "reference between rows of one table was" : "references between rows of one table were"} put back after the copy: synapse_port_db fails at such a reference`,
      evidence: held.map(
        ({ table, column, pairs }) => `${table}.${column}: ${formatCount(pairs.length)} rows`,
      ),
    },
  ];
}

/**
 * As the administrators' job `regenerate_directory` queues it (synapse/rest/admin/background_updates.py). The script leaves the
 * directory empty, and Synapse never builds it by itself (synapse/handlers/user_directory.py, `_unsafe_process`).
 */
const REBUILD_DIRECTORY = [
  ["createtables", ""],
  ["process_rooms", "populate_user_directory_createtables"],
  ["process_users", "populate_user_directory_process_rooms"],
  ["cleanup", "populate_user_directory_process_users"],
].map(
  ([name, after]) =>
    `INSERT INTO background_updates (update_name, progress_json, depends_on) VALUES ('populate_user_directory_${name!}', '{}', '${after!}');`,
);

/** Throws `port-failed` when a row is missing or too many. */
async function compare(
  rows: TableRows,
  target: PostgresAddress,
  { postgres }: Pick<System, "postgres">,
): Promise<Finding[]> {
  const session = await postgres.connect(target);
  const found = await countPorted(session).finally(() => session.close());
  const findings = comparePorted(rows, found, { leftBehind: (table) => creatorOf(table) !== "synapse" });
  const wrong = findings.find(({ level }) => level === "blocker");
  if (!wrong) return findings;
  throw new MigrationError(
    "port-failed",
    `${wrong.sentence}: ${(wrong.evidence ?? []).slice(0, 5).join("; ")}`,
    {
      hint: "the new database is not used; look at the log, then run the same command again",
    },
  );
}

/** The next run does it, when this one cannot. */
async function emptyAfterFailure(
  target: PostgresAddress,
  mark: string,
  system: System,
  progress: Progress,
): Promise<void> {
  if (system.signal.aborted) return;
  try {
    await emptyDatabase(target, { mark, rows: undefined }, system);
    progress.note("the new database was emptied again");
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    progress.note(
      `the new database is incomplete, and could not be emptied now: ${error.message}; the next run does it`,
    );
  }
}

/** Files of a private copy, and what Synapse's programs make beside it. */
export const copyIn = (folder: string) => join(folder, "homeserver.db");
