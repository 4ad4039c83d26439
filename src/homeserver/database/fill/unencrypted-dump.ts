import { dirname, join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Journal } from "../../../journal/journal.ts";
import type { Files, Unfinished } from "../../../system/files/files.ts";
import { makeOwnedFolder, type Owner } from "../../../system/files/owned-folder.ts";
import type { Account } from "../../../system/machine.ts";
import type { Progress } from "../../../system/progress.ts";

/** The name of the dump in its folder. */
export const UNENCRYPTED_DUMP = "database.dump";

/** The journal entry that names a folder with a dump, so that a later run can remove it. */
const FACT = "clear-dump";

interface DumpFolder {
  /** Made for the dump alone, and private. */
  readonly folder: string;
  /** The owner of parent folders that had to be created. */
  readonly owner: Owner;
  /** The account that reads the dump, if it is not the current one. */
  readonly account: Account | undefined;
}

/** Writes a complete dump into a file that the caller finishes; resolves only once the dump is verified. */
export type WriteDump = (file: Unfinished) => Promise<void>;

/**
 * Writes a dump to disk unencrypted, since parallel pg_restore needs random access; calls `use` only once the dump
 * is complete and verified; and removes it in every case. Throws `target-not-empty` when the folder exists and
 * was not left by an earlier run, `disk-full`, and what `write` or `use` throws. A failure to remove the dump
 * is reported as a note, and does not turn a success into a failure.
 */
export async function withUnencryptedDump<T>(
  write: WriteDump,
  { folder, owner, account }: DumpFolder,
  { files, journal, progress }: { files: Files; journal: Journal; progress: Pick<Progress, "note"> },
  use: () => Promise<T>,
): Promise<T> {
  if (await files.lstat(folder))
    throw new MigrationError("target-not-empty", `${folder} already exists`, {
      hint: "the dump is stored there unencrypted while the database is restored: move the folder away, or name another one with --spool",
    });
  await makeOwnedFolder(dirname(folder), owner, files);
  await journal.setFact(FACT, folder);
  try {
    await files.makeFolder(folder);
    await files.setMode(folder, 0o700);
    await storeDump(join(folder, UNENCRYPTED_DUMP), write, files);
    if (account)
      for (const path of [join(folder, UNENCRYPTED_DUMP), folder])
        await files.setOwner(path, account.uid, account.gid);
    return await use();
  } finally {
    await removeDumpFolder(folder, journal, files, progress).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      progress.note(`${why}: when this run has ended, check that no unencrypted dump is left in ${folder}`);
    });
  }
}

/** Removes the dump that a killed run left. Does nothing where there is none. */
export async function removeUnencryptedDump(
  journal: Journal,
  files: Files,
  progress: Pick<Progress, "note">,
): Promise<void> {
  const folder = journal.facts[FACT];
  if (folder === undefined) return;
  if (await files.lstat(folder)) {
    await removeDumpFolder(folder, journal, files, progress);
    progress.note(`the unencrypted dump in ${folder}, which an interrupted run had left, was removed`);
  } else await journal.removeFact(FACT);
}

/** Bytes of the dump that a killed run left; they become free when the restore is continued. */
export async function unencryptedDumpBytes(journal: Journal, folder: string, files: Files): Promise<number> {
  if (journal.facts[FACT] !== folder || !(await files.lstat(folder))) return 0;
  let bytes = 0;
  for (const name of await files.list(folder)) bytes += (await files.lstat(join(folder, name)))?.size ?? 0;
  return bytes;
}

async function storeDump(path: string, write: WriteDump, files: Files): Promise<void> {
  const file = await files.begin(path, 0o600, { sync: false });
  try {
    await write(file);
    await file.finish();
  } finally {
    await file.abandon();
  }
}

/** Removes the dump, and the folder unless it holds other files: then it is kept, with a note. */
async function removeDumpFolder(
  folder: string,
  journal: Journal,
  files: Files,
  progress: Pick<Progress, "note">,
): Promise<void> {
  if (await files.lstat(folder)) {
    for (const name of [UNENCRYPTED_DUMP, `.${UNENCRYPTED_DUMP}.unfinished`])
      await files.remove(join(folder, name));
    const others = await files.list(folder);
    if (others.length === 0) await files.removeEmptyFolder(folder);
    else
      progress.note(`${folder} was not removed, as it holds other files: ${others.slice(0, 3).join(", ")}`);
  }
  await journal.removeFact(FACT);
}
