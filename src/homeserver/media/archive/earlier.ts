import { join } from "node:path";
import { packedIn, sealedName } from "../../../bundle/layout.ts";
import { changedInput } from "../../../journal/run-steps.ts";
import type { Inputs, Outcome } from "../../../journal/step.ts";
import { hashAt } from "../store/hash-at.ts";
import { ARCHIVE_STEP, archiveArtifact, archiveFolder, folderOfArchive, isFirst } from "./names.ts";
import type { ArchiveExport } from "./order.ts";
import { forgetPacked, packedArchives } from "./section.ts";

/** The step of one archive in the journal. */
export const stepOf = (id: string, number: number) => `${id}/${number}`;

/** For people: what the making of an archive is called. */
export const labelOf = (number: number) => (number === 1 ? "media archive" : `media archive ${number}`);

/** Of the archives that an earlier run finished, those that are still there, up to the first that is not. */
export async function doneBefore(id: string, inputs: Inputs, from: ArchiveExport): Promise<Outcome[]> {
  const done: Outcome[] = [];
  for (let number = 1; ; number += 1) {
    const step = stepOf(id, number);
    const entry = from.journal.steps[step];
    if (!entry) return done;
    const why =
      changedInput({ inputs }, entry) ??
      (await from.check(entry.outcome)) ??
      (await listFault(entry.outcome, from));
    const work = { id: step, label: labelOf(number) };
    if (why !== undefined) {
      from.progress.remark(work, `done again: ${why}`);
      return done;
    }
    from.progress.remark(work, "done already");
    done.push(entry.outcome);
  }
}

type Place = Pick<ArchiveExport, "journal" | "inventory" | "files" | "into" | "folder">;

/** Takes away the archives of this pass from a number on, whoever made them. */
export async function removeFrom(number: number, id: string, from: ArchiveExport): Promise<void> {
  const { pass } = from;
  const kept = new Set(Array.from({ length: number - 1 }, (_, index) => archiveFolder(pass, index + 1)));
  for (let at = number; from.journal.steps[stepOf(id, at)]; at += 1)
    await from.journal.forget(stepOf(id, at));
  for (const { folder } of packedArchives(from.inventory))
    if (isFirst(folder) === (pass === "first") && !kept.has(folder)) await remove(folder, from);
  await from.saved();
}

/** Takes away all of them, and what is known of them. The steps themselves are the caller's. */
export async function dropArchives(place: Place): Promise<void> {
  const { journal, inventory } = place;
  for (const id of Object.values(ARCHIVE_STEP))
    for (let at = 1; journal.steps[stepOf(id, at)]; at += 1) await journal.forget(stepOf(id, at));
  for (const { folder } of packedArchives(inventory)) await remove(folder, place);
}

async function remove(folder: string, place: Place): Promise<void> {
  await place.into.remove(archiveArtifact(folder));
  await place.files.remove(join(place.folder, packedIn(folder)));
  place.inventory.dropArtifact(sealedName(archiveArtifact(folder)));
  forgetPacked(place.inventory, folder);
}

/** Whether the list of what an archive holds is the one that was written with it. */
export async function listFault(
  outcome: Outcome,
  { folder, files }: ArchiveExport,
): Promise<string | undefined> {
  const name = folderOfArchive(String(outcome["name"]));
  if (name === undefined) return undefined;
  const path = join(folder, packedIn(name));
  return (await hashAt(path, files)) === outcome["list"]
    ? undefined
    : `${path}, which says what is packed, is gone or was changed`;
}
