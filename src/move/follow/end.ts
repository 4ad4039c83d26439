import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { recordFolder } from "../restore/record.ts";
import { agreeToStop, stopFollowing, type StopOrder, type StopResult } from "./stop.ts";
import { removeUnit, takeOver } from "./unit.ts";

/**
 * Ends what keeps a copy up to date, then the copy, after a question. May be repeated after an interruption at any moment. Throws
 * `bundle-in-use` where it runs in somebody's terminal, and what `stopFollowing` throws.
 */
export async function endFollowing(
  order: StopOrder & { readonly systemdDir: string },
  system: System,
  progress: Progress,
): Promise<StopResult> {
  const isAnything = (await system.files.lstat(recordFolder(order.configDir)))?.kind === "folder";
  if (order.dryRun || !isAnything) return stopFollowing(order, system, progress);
  await agreeToStop(order, system);
  const lock = await takeOver(order.configDir, system);
  try {
    const result = await stopFollowing(order, system, progress);
    await removeUnit(order.systemdDir, system);
    return result;
  } finally {
    await lock.release();
  }
}
