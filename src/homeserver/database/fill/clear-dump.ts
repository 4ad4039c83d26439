import { dirname, join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Journal } from "../../../journal/journal.ts";
import type { Files, Unfinished } from "../../../system/files/files.ts";
import { makeOwnedFolder, type Owner } from "../../../system/files/owned-folder.ts";
import type { Account } from "../../../system/machine.ts";
import type { Progress } from "../../../system/progress.ts";

/** The name of the dump in its folder. */
export const CLEAR_DUMP = "database.dump";

/** What the journal says of a folder with a dump in it, so that a later run can take it away. */
const FACT = "clear-dump";

interface Place {
  /** Made for the dump alone, and private. */
  readonly folder: string;
  /** To whom folders belong that had to be made above it. */
  readonly owner: Owner;
  /** Who is to read it, if not we. */
  readonly account: Account | undefined;
}

/** Writes all of a dump into a file that somebody else finishes; ends well only once it is proven. */
export type WriteDump = (file: Unfinished) => Promise<void>;

/**
 * Writes a dump down in the clear, since pg_restore reads it in several places at once; hands it on only once all of it
 * has come, so is proven; and takes it away, however that ends. Throws `target-not-empty` when the folder is there and
 * is not what an earlier run has left, `disk-full`, and what `write` or `use` throws: whatever keeps it from being taken
 * away is told beside that, and does not make a failure of what went well.
 */
export async function withClearDump<T>(
  write: WriteDump,
  { folder, owner, account }: Place,
  { files, journal, progress }: { files: Files; journal: Journal; progress: Pick<Progress, "note"> },
  use: () => Promise<T>,
): Promise<T> {
  if (await files.look(folder))
    throw new MigrationError("target-not-empty", `${folder} is there already`, {
      hint: "the dump lies there in the clear while the database is filled in: move away what is there, or name another folder with --spool",
    });
  await makeOwnedFolder(dirname(folder), owner, files);
  await journal.setFact(FACT, folder);
  try {
    await files.makeFolder(folder);
    await files.setMode(folder, 0o700);
    await writeDown(join(folder, CLEAR_DUMP), write, files);
    if (account)
      for (const path of [join(folder, CLEAR_DUMP), folder])
        await files.setOwner(path, account.uid, account.gid);
    return await use();
  } finally {
    await takeAway(folder, journal, files, progress).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      progress.note(`${why}: see that no dump is left in the clear in ${folder}, when this run has ended`);
    });
  }
}

/** Takes away what a run has left that was killed. Does nothing where there is nothing. */
export async function removeClearDump(
  journal: Journal,
  files: Files,
  progress: Pick<Progress, "note">,
): Promise<void> {
  const folder = journal.facts[FACT];
  if (folder === undefined) return;
  if (await files.look(folder)) {
    await takeAway(folder, journal, files, progress);
    progress.note(
      `the dump in ${folder} was removed: an earlier run was ended while it lay there in the clear, for its owner to read`,
    );
  } else await journal.forgetFact(FACT);
}

/** Bytes that a killed run has left, and that are free again once it is gone on with. */
export async function clearDumpBytes(journal: Journal, folder: string, files: Files): Promise<number> {
  if (journal.facts[FACT] !== folder || !(await files.look(folder))) return 0;
  let bytes = 0;
  for (const name of await files.list(folder)) bytes += (await files.look(join(folder, name)))?.size ?? 0;
  return bytes;
}

async function writeDown(path: string, write: WriteDump, files: Files): Promise<void> {
  const file = await files.begin(path, 0o600, { sync: false });
  try {
    await write(file);
    await file.finish();
  } finally {
    await file.abandon();
  }
}

/** The dump, and the folder unless somebody else put something into it: that is left, and told. */
async function takeAway(
  folder: string,
  journal: Journal,
  files: Files,
  progress: Pick<Progress, "note">,
): Promise<void> {
  if (await files.look(folder)) {
    for (const name of [CLEAR_DUMP, `.${CLEAR_DUMP}.unfinished`]) await files.remove(join(folder, name));
    const others = await files.list(folder);
    if (others.length === 0) await files.removeEmptyFolder(folder);
    else
      progress.note(
        `${folder} is left, as there is more in it than the dump: ${others.slice(0, 3).join(", ")}`,
      );
  }
  await journal.forgetFact(FACT);
}
