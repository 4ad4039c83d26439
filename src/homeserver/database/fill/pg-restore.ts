import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Files } from "../../../system/files/files.ts";
import { clientMessage, type PostgresAddress, postgresCall } from "../../../system/postgres/postgres.ts";
import type { ExitStatus, InteractiveProgram, Programs } from "../../../system/programs/programs.ts";
import { HALF_FILLED_HINT, RESTORE_APPLICATION_NAME } from "./interrupted.ts";
import { UNENCRYPTED_DUMP } from "./unencrypted-dump.ts";

export interface PgRestoreOptions {
  /** The folder that holds the unencrypted dump. */
  readonly folder: string;
  readonly pgRestore: string;
  /** Parallel connections. */
  readonly jobs: number;
  /** Only what comes before the rows of tables, or after them; everything when left out. */
  readonly section?: "pre-data" | "post-data";
}

/**
 * Restores an archive into an empty database with pg_restore, over several connections; where its programs run elsewhere, over one, as
 * they cannot read the file. Only with one connection is it all or nothing: the caller cleans up when
 * it fails or is interrupted. Throws `restore-failed`.
 */
export async function runPgRestore(
  address: PostgresAddress,
  { folder, pgRestore, jobs, section }: PgRestoreOptions,
  { programs, files }: { programs: Programs; files: Files },
): Promise<void> {
  const there = address.commandPrefix !== undefined;
  const known = {
    ...address,
    parameters: { ...address.parameters, application_name: RESTORE_APPLICATION_NAME },
  };
  const call = postgresCall(pgRestore, known, [
    ...["--exit-on-error", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-security-labels"],
    ...["--no-publications", "--no-subscriptions"],
    ...(section ? [`--section=${section}`] : []),
    ...(there ? ["--single-transaction"] : [`--jobs=${jobs}`, UNENCRYPTED_DUMP]),
  ]);
  // A relative name: another account may not be allowed to enter the parent folders, and from 16 on does not need to.
  const running = await programs.start(there ? call : { ...call, folder });
  const said = await waitForExit(running, there ? files.read(join(folder, UNENCRYPTED_DUMP)) : undefined);
  if (said.code === 0) return;
  const reason = describeExit(said);
  if (address.account && /^could not (open input file|change directory)/.test(reason))
    throw dumpNotReadable(folder, address.account.name);
  throw /^unsupported version/.test(reason) ? tooOld(pgRestore, reason) : restoreFailed(reason, there);
}

/** Writes the input and waits for the program to exit. Kills it when the input cannot be read, and throws that error. */
async function waitForExit(running: InteractiveProgram, input: Bytes | undefined): Promise<ExitStatus> {
  const program = { gone: false };
  const silence = (async () => {
    for await (const _ of running.output);
  })().finally(() => (program.gone = true));
  silence.catch(() => undefined);
  try {
    for await (const chunk of input ?? []) {
      if (program.gone) break;
      await running.write(chunk);
    }
  } catch (error) {
    running.kill();
    await running.close();
    throw error;
  }
  const ending = running.close();
  await silence;
  return ending;
}

/** Up to PostgreSQL 15 its programs leave their folder and come back to it by its whole path (src/common/exec.c, `resolve_symlinks`). */
const dumpNotReadable = (folder: string, account: string) =>
  new MigrationError(
    "permission-denied",
    `PostgreSQL's programs run as the account ${account}, which cannot read the dump in ${folder}`,
    { hint: "name a folder that this account can reach: --spool; nothing was restored" },
  );

const tooOld = (pgRestore: string, reason: string) =>
  new MigrationError(
    "program-too-old",
    `${pgRestore} cannot read the dump, which a newer pg_dump created: ${reason}`,
    {
      hint: "restore into a PostgreSQL of that version; or export again, with the pg_dump of the old server's own version, or without --db-format",
    },
  );

/** pg_restore reports no SQLSTATE, so nothing that it passes on from the server is shown: it may contain a value from a row. */
function describeExit(ended: ExitStatus): string {
  if (ended.signal) return `pg_restore was killed by ${ended.signal}`;
  return clientMessage(ended) ?? "pg_restore failed without an error message";
}

const restoreFailed = (reason: string, inOneTransaction: boolean) =>
  new MigrationError("restore-failed", `the database could not be restored: ${reason}`, {
    hint: inOneTransaction ? UNCHANGED_HINT : HALF_FILLED_HINT,
  });
/** The hint after a failed restore in one transaction. */
export const UNCHANGED_HINT =
  "the transaction was rolled back and the database is still empty; fix the cause and run the same command again";
