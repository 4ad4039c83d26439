import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Bytes } from "../../pipeline/stage.ts";
import type { Files } from "../../system/files.ts";
import { clientWords, postgresCall, type PostgresAddress } from "../../system/postgres.ts";
import type { Conversation, Ending, Programs } from "../../system/programs.ts";
import { CLEAR_DUMP } from "./clear-dump.ts";
import { FILLING_AS, HALF_FILLED } from "./half-filled.ts";
import { AS_BEFORE } from "./restore.ts";

export interface ArchiveFilling {
  /** Where `CLEAR_DUMP` lies. */
  readonly folder: string;
  readonly pgRestore: string;
  /** Connections that fill at the same time. */
  readonly jobs: number;
}

/**
 * Fills an empty database out of an archive, over several connections; where its programs run elsewhere, over one, as
 * they don't reach the file there. Only with that one it is all or nothing: whoever calls it sees to what is left when
 * it fails or is interrupted. Throws `restore-failed`.
 */
export async function restoreArchive(
  address: PostgresAddress,
  { folder, pgRestore, jobs }: ArchiveFilling,
  { programs, files }: { programs: Programs; files: Files },
): Promise<void> {
  const there = address.through !== undefined;
  const known = { ...address, parameters: { ...address.parameters, application_name: FILLING_AS } };
  const call = postgresCall(pgRestore, known, [
    ...["--exit-on-error", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-security-labels"],
    ...["--no-publications", "--no-subscriptions"],
    ...(there ? ["--single-transaction"] : [`--jobs=${jobs}`, CLEAR_DUMP]),
  ]);
  // By its bare name: another account may have no way through the folders above, and from 16 on needs none.
  const running = await programs.open(there ? call : { ...call, folder });
  const said = await ended(running, there ? files.read(join(folder, CLEAR_DUMP)) : undefined);
  if (said.code === 0) return;
  const reason = wordsOf(said);
  if (address.account && /^could not (open input file|change directory)/.test(reason))
    throw outOfReach(folder, address.account.name);
  throw /^unsupported version/.test(reason) ? tooOld(pgRestore, reason) : notFilled(reason, there);
}

/** How it ended, once it was given what is to go in. Ends it when that cannot be read, and throws why. */
async function ended(running: Conversation, input: Bytes | undefined): Promise<Ending> {
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
const outOfReach = (folder: string, account: string) =>
  new MigrationError(
    "permission-denied",
    `PostgreSQL is asked as the account ${account}, and that one has no way to the dump in ${folder}`,
    { hint: "name a folder below others that it may enter: --spool; nothing was filled in" },
  );

const tooOld = (pgRestore: string, reason: string) =>
  new MigrationError(
    "program-too-old",
    `${pgRestore} cannot read the dump, which a newer pg_dump has made: ${reason}`,
    {
      hint: "restore into a PostgreSQL of that version; or export again, with the pg_dump of the old server's own version, or without --db-format",
    },
  );

/** pg_restore tells no SQLSTATE: of what it hands on from the server nothing is shown. */
function wordsOf(ending: Ending): string {
  if (ending.signal) return `pg_restore was killed by ${ending.signal}`;
  return clientWords(ending) ?? "pg_restore failed and did not say why";
}

const notFilled = (reason: string, inOneTransaction: boolean) =>
  new MigrationError("restore-failed", `the database could not be filled: ${reason}`, {
    hint: inOneTransaction ? AS_BEFORE : HALF_FILLED,
  });
