import { join } from "node:path";
import { encryptedName, packedListOf } from "../../../bundle/layout.ts";
import { describeChangedInput } from "../../../journal/run-steps.ts";
import type { Inputs, Outcome } from "../../../journal/step.ts";
import { fileHash } from "../store/file-hash.ts";
import { ARCHIVE_STEP, archiveArtifact, archiveFolder, folderOfArchive, isFirst } from "./names.ts";
import type { ArchiveExport } from "./order.ts";
import { forgetPacked, packedArchives } from "./section.ts";

/** The step of one archive in the journal. */
export const stepOf = (id: string, number: number) => `${id}/${number}`;

/** For people: what the making of an archive is called. */
export const labelOf = (number: number) => (number === 1 ? "media archive" : `media archive ${number}`);

/** Of the archives that an earlier run finished, those that are still there, up to the first that is not. */
export async function findFinished(id: string, inputs: Inputs, from: ArchiveExport): Promise<Outcome[]> {
  const done: Outcome[] = [];
  for (let number = 1; ; number += 1) {
    const step = stepOf(id, number);
    const entry = from.journal.steps[step];
    if (!entry) return done;
    const why =
      describeChangedInput({ inputs }, entry) ??
      (await from.findFault(entry.outcome)) ??
      (await findListFault(entry.outcome, from));
    const work = { id: step, label: labelOf(number) };
    if (why !== undefined) {
      from.progress.remark(work, `running again: ${why}`);
      return done;
    }
    from.progress.remark(work, "already done");
    done.push(entry.outcome);
  }
}

type ArchiveContext = Pick<ArchiveExport, "journal" | "inventory" | "files" | "into" | "folder">;

/** Takes away the archives of this pass from a number on, whoever made them. */
export async function removeArchivesFrom(number: number, id: string, from: ArchiveExport): Promise<void> {
  const { pass } = from;
  const kept = new Set(Array.from({ length: number - 1 }, (_, index) => archiveFolder(pass, index + 1)));
  for (let at = number; from.journal.steps[stepOf(id, at)]; at += 1)
    await from.journal.removeStep(stepOf(id, at));
  for (const { folder } of packedArchives(from.inventory))
    if (isFirst(folder) === (pass === "first") && !kept.has(folder)) await remove(folder, from);
  await from.saved();
}

/** Takes away all of them, and what is known of them. The steps themselves are the caller's. */
export async function dropArchives(place: ArchiveContext): Promise<void> {
  const { journal, inventory } = place;
  for (const id of Object.values(ARCHIVE_STEP))
    for (let at = 1; journal.steps[stepOf(id, at)]; at += 1) await journal.removeStep(stepOf(id, at));
  for (const { folder } of packedArchives(inventory)) await remove(folder, place);
}

async function remove(folder: string, place: ArchiveContext): Promise<void> {
  await place.into.remove(archiveArtifact(folder));
  await place.files.remove(join(place.folder, packedListOf(folder)));
  place.inventory.dropArtifact(encryptedName(archiveArtifact(folder)));
  forgetPacked(place.inventory, folder);
}

/** Whether the list of what an archive holds is the one that was written with it. */
export async function findListFault(
  outcome: Outcome,
  { folder, files }: ArchiveExport,
): Promise<string | undefined> {
  const name = folderOfArchive(String(outcome["name"]));
  if (name === undefined) return undefined;
  const path = join(folder, packedListOf(name));
  return (await fileHash(path, files)) === outcome["list"]
    ? undefined
    : `${path}, the list of what is packed, is missing or was changed`;
}
