import { compareMedia } from "../../../homeserver/media/compare/compare.ts";
import { HashedList } from "../../../homeserver/media/compare/hashed-before.ts";
import type { ProgressView } from "../../../report/progress-view.ts";
import type { System } from "../../../system/system.ts";
import { hashedMediaPath } from "../../restore/record.ts";
import { catchUp, type CutOver } from "./cut-over.ts";

/** By so much the clock of the file system may be behind, and more: it moves in steps of some milliseconds. */
const CLOCK_MS = 1_000;

/**
 * Compares the uploads that are here with the hashes in their rows, which the copy has, while the old server runs: `open` does not read them
 * again then. What is missing or differs is for `open` to say.
 */
export async function hashMediaBeforehand(
  cut: CutOver,
  store: string,
  system: System,
  view: ProgressView,
): Promise<void> {
  const { files, machine, postgres } = system;
  const [main] = cut.copy.databases;
  if (!main || !(await cut.copy.follows()) || !(await files.lstat(store))) return;
  await catchUp(cut, system);
  const path = hashedMediaPath(cut.configDir);
  await files.remove(path);
  const list = await HashedList.begin(path, { at: machine.now() - CLOCK_MS, store }, files);
  const id = "follow/media";
  view.begin({ id, label: "compare the media by hash", unit: "bytes" });
  const session = await postgres.connect(main.administrator);
  try {
    const tell = (bytes: number) => {
      view.advance(id, bytes);
    };
    await compareMedia(session, store, files, {
      hashes: true,
      tell,
      note: list.add.bind(list),
      closed: true,
      signal: system.signal,
    });
    await list.finish();
  } finally {
    await session.close();
    await list.abandon();
    view.end(id);
  }
}
