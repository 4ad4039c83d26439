import { MigrationError } from "../../errors.ts";
import { fillExclusively } from "../../homeserver/database/fill/exclusive.ts";
import {
  createDatabase,
  databaseExists,
  inspectTarget,
  readServerVersion,
} from "../../homeserver/database/fill/inspect-target.ts";
import {
  type BegunRestore,
  countLeftTables,
  emptyDatabase,
  markHalfFilled,
  newMark,
} from "../../homeserver/database/fill/interrupted.ts";
import { noteSearchPath, warnOfSuperuser } from "../../homeserver/database/fill/notes.ts";
import { runPgRestore } from "../../homeserver/database/fill/pg-restore.ts";
import {
  unencryptedDumpBytes,
  withUnencryptedDump,
  type WriteDump,
} from "../../homeserver/database/fill/unencrypted-dump.ts";
import { findProgram } from "../../homeserver/database/program.ts";
import { finishDatabase } from "../../homeserver/database/restore.ts";
import { describeStore } from "../../homeserver/database/store.ts";
import { type DatabaseRestore, describeTarget } from "../../homeserver/database/target.ts";
import type { Journal } from "../../journal/journal.ts";
import type { Files } from "../../system/files/files.ts";
import type { Owner } from "../../system/files/owned-folder.ts";
import { type PostgresAddress, postgresProgramVersion } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { confirm } from "../confirm.ts";
import { assertDiskSpace } from "../disk-space.ts";

/** How dumps in PostgreSQL's custom format are restored. */
export interface PgRestoreOptions {
  /** Folder for the decrypted dump while pg_restore reads it; removed afterwards. */
  readonly folder: string;
  /** Parallel jobs of pg_restore. */
  readonly jobs: number;
}

/** Whether a database is restored with pg_restore. */
export const isCustomFormat = ({ section }: DatabaseRestore) => section.dumpFormat === "custom";

/** Records the state of the database in the journal. */
export interface FillMarks {
  /** From now on the database is partly restored, and has this mark. */
  readonly partlyFilled: (mark: string) => Promise<void>;
  /** From now on it is restored. */
  readonly filled: () => Promise<void>;
}

/** What must be known of each dump before anything is changed. */
interface PendingDump {
  readonly restore: DatabaseRestore;
  /** Bytes, decrypted. */
  readonly bytes: number;
}

/**
 * Checks that each dump fits on the disk, one at a time, and that there is a pg_restore for it. Throws `disk-full`,
 * `program-missing`, `program-too-old`.
 */
export async function assertDumpsRestorable(
  coming: readonly PendingDump[],
  { folder }: PgRestoreOptions,
  journal: Journal,
  system: System,
): Promise<void> {
  for (const { restore } of coming)
    if (restore.target.engine === "postgres") await findPgRestore(restore.target.address, system);
  const largest = Math.max(0, ...coming.map(({ bytes }) => bytes));
  const left = await unencryptedDumpBytes(journal, folder, system.files);
  await assertDumpFits(Math.max(0, largest - left), folder, system.files);
}

const assertDumpFits = (bytes: number, folder: string, files: Files) =>
  assertDiskSpace(folder, bytes, "the decrypted dump", "--spool", files);

/**
 * Asks whether to empty a database that an interrupted run has partly restored, unless `yes` is given or it has no tables.
 * Throws `target-not-empty` when the answer is no, or when it holds something other than what that run left.
 */
export async function confirmEmptying(
  { target, section, store }: DatabaseRestore,
  { mark }: BegunRestore,
  { yes = false, dryRun }: { readonly yes?: boolean; readonly dryRun: boolean },
  { postgres, terminal }: Pick<System, "postgres" | "terminal">,
  progress: Pick<Progress, "note">,
): Promise<void> {
  if (target.engine !== "postgres" || !("rows" in section)) return;
  const left = await countLeftTables(target.address, { mark, rows: section.rows }, postgres);
  if (left === 0) return;
  const where = `${describeStore(store)} ${describeTarget(target)}`;
  const found = `an interrupted restore of this bundle left ${where} partly restored: it has ${left} tables`;
  if (dryRun || yes) {
    progress.note(`${found}; ${dryRun ? "it would be" : "it is"} emptied and restored again`);
    return;
  }
  const otherwise = new MigrationError("target-not-empty", found, {
    hint: "run the same command again with --yes to empty it and start again, or name another database",
  });
  // Without a terminal the error says which database it is: more than that consent is required.
  if (!terminal.interactive) throw otherwise;
  await confirm(
    { question: `${found}. Empty it and start again?`, consequence: found, otherwise },
    { terminal },
  );
}

/**
 * Restores a database from a dump in PostgreSQL's custom format, once all of it is verified. What an interrupted run left
 * in it (`begun`) is removed first, and meanwhile it has the mark of this run. Throws `disk-full`, `restore-failed`, and what `withUnencryptedDump`, `inspectTarget` and `emptyDatabase` do.
 */
export async function fillWithPgRestore(
  address: PostgresAddress,
  { section, store }: DatabaseRestore,
  dump: {
    id: string;
    write: WriteDump;
    bytes: number;
    label: string;
    begun: BegunRestore | undefined;
    marks: FillMarks;
  },
  { from, owner, journal }: { from: PgRestoreOptions; owner: Owner; journal: Journal },
  system: System,
  progress: Progress,
): Promise<void> {
  const { pgRestore, newer } = await findPgRestore(address, system);
  const { commandPrefix, account } = address;
  const psql = await findProgram(
    { program: "psql", major: 0, versionText: "", through: commandPrefix },
    system,
  );
  const { folder } = from;
  const { postgres } = system;
  // Again: the database before this one may have filled the disk.
  await assertDumpFits(dump.bytes, folder, system.files);
  const jobs = commandPrefix ? 1 : from.jobs;
  await withUnencryptedDump(
    dump.write,
    { folder, owner, account },
    { ...system, journal, progress },
    async () => {
      const wanted = { address, section, store };
      const there = dump.begun ? databaseExists(address, postgres) : inspectTarget(wanted, postgres);
      if (!(await there)) await createDatabase(address, postgres);
      await warnOfSuperuser(address, postgres, progress);
      await fillExclusively(address, postgres, async () => {
        if (dump.begun) await emptyDatabase(address, { rows: rowsOf(section), ...dump.begun }, system);
        // Another run may have filled it a moment ago.
        await inspectTarget(wanted, postgres);
        const mark = newMark(system.machine.uuid());
        await dump.marks.partlyFilled(mark);
        await markHalfFilled(address, { mark, from: `bundle ${dump.id}` }, postgres);
        const label = `${dump.label}, by ${jobs === 1 ? "one connection" : `${jobs} connections`}`;
        const id = `fill/${dump.label}`;
        progress.begin({ id, label, unit: "bytes" });
        await runPgRestore(address, { folder, pgRestore, jobs }, system).catch((error: unknown) => {
          throw newer === undefined ? error : withVersionNote(error, newer);
        });
        await finishDatabase(address, { ...system, psql, store, kept: section.kept, mark });
        progress.end(id);
        await dump.marks.filled();
      });
    },
  );
  await noteSearchPath(address, postgres, progress);
}

const rowsOf = (section: DatabaseRestore["section"]) => ("rows" in section ? section.rows : {});

/** The pg_restore of the server's own version where there is one; `newer` describes it when it is newer. */
async function findPgRestore(
  address: PostgresAddress,
  system: System,
): Promise<{ pgRestore: string; newer: string | undefined }> {
  const { commandPrefix } = address;
  const { major, text: versionText } = await readServerVersion(address, system.postgres);
  const pgRestore = await findProgram(
    { program: "pg_restore", major, versionText, through: commandPrefix },
    system,
  );
  const found = await postgresProgramVersion(pgRestore, system.programs, commandPrefix);
  return {
    pgRestore,
    newer:
      found.major > major
        ? `pg_restore ${found.text} is newer than the server, PostgreSQL ${versionText}; if that is the cause, install postgresql-client-${major}`
        : undefined,
  };
}

function withVersionNote(error: unknown, newer: string): unknown {
  if (!(error instanceof MigrationError) || error.code !== "restore-failed") return error;
  return new MigrationError(error.code, `${error.message}; ${newer}`, { hint: error.hint });
}
