import { compareMedia } from "../../../homeserver/media/compare/compare.ts";
import { HashedList } from "../../../homeserver/media/compare/hashed-before.ts";
import { readComparison, saveComparison } from "../../../homeserver/media/compare/compared-before.ts";
import { describeDays, MOST_DIFFERING } from "../../../homeserver/media/compare/since.ts";
import { uploadIdOf } from "../../../homeserver/media/pack/join-rows.ts";
import { lookAtOwners } from "../../../homeserver/media/store/owners.ts";
import type { ProgressView } from "../../../report/progress-view.ts";
import type { Account } from "../../../system/machine.ts";
import type { System } from "../../../system/system.ts";
import { comparedMediaPath, hashedMediaPath } from "../../restore/record.ts";
import { catchUp, type CutOver } from "./cut-over.ts";

/** By so much the clock of the file system may be behind, and more: it moves in steps of some milliseconds. */
const CLOCK_MS = 1_000;

/**
 * Compares the uploads that are here with the hashes in their rows, which the copy has, while the old server runs: `open` does not read them
 * again then. What is missing or differs is for `open` to say.
 */
export async function hashMediaBeforehand(
  cut: CutOver,
  { store, owner }: { readonly store: string; readonly owner: Pick<Account, "uid"> | undefined },
  system: System,
  view: ProgressView,
): Promise<void> {
  const { files, machine, postgres } = system;
  const [main] = cut.copy.databases;
  if (!main || !(await cut.copy.follows()) || !(await files.lstat(store))) return;
  await catchUp(cut, system);
  const path = hashedMediaPath(cut.configDir);
  const summary = comparedMediaPath(cut.configDir);
  await files.remove(path);
  await files.remove(summary);
  const at = machine.now() - CLOCK_MS;
  const list = await HashedList.begin(path, { at, store }, files);
  const id = "follow/media";
  view.begin({ id, label: "compare the media by hash", unit: "bytes" });
  const session = await postgres.connect(main.administrator);
  try {
    const tell = (bytes: number) => {
      view.advance(id, bytes);
    };
    const { days } = await describeDays(session);
    const compared = await compareMedia(session, store, files, {
      hashes: true,
      tell,
      note: list.add.bind(list),
      closed: true,
      signal: system.signal,
    });
    await list.finish();
    const { differing, differingCount, changed, hashed } = compared;
    if (differingCount + changed.count > MOST_DIFFERING) return;
    const ids = [...differing.map(({ mediaId }) => mediaId), ...changed.some];
    const uid = await ownerOfAll(store, owner, system);
    await saveComparison(summary, { store, at, days, differing: ids, hashed, uid }, system);
  } finally {
    await session.close();
    await list.abandon();
    view.end(id);
  }
}

/**
 * Receives what came after the comparison. Its uploads are compared again, whatever the time of their rows: it may have replaced files
 * that were compared. Until that is saved, nothing counts as compared.
 */
export async function withNewestMedia(
  configDir: string,
  store: string,
  receive: (names: Set<string>) => Promise<void>,
  system: System,
): Promise<void> {
  const path = comparedMediaPath(configDir);
  const compared = await readComparison(path, store, system);
  await system.files.remove(path);
  const names = new Set<string>();
  await receive(names);
  if (!compared) return;
  const ids = [...names].flatMap((name) => uploadIdOf(name) ?? []);
  const differing = [...new Set([...compared.differing, ...ids])];
  if (differing.length <= MOST_DIFFERING)
    await saveComparison(path, { ...compared, store, differing }, system);
}

/** Whom all of the store belongs to; null where it does not belong to one account as `open` will ask. */
async function ownerOfAll(
  store: string,
  owner: Pick<Account, "uid"> | undefined,
  system: System,
): Promise<number | null> {
  const uid = owner?.uid ?? (await system.files.stat(store))?.uid;
  if (uid === undefined) return null;
  const { wrong } = await lookAtOwners(store, uid, system);
  return wrong === 0 ? uid : null;
}
