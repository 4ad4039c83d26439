import { join } from "node:path";
import { JOURNAL, FENCE } from "../../bundle/layout.ts";
import type { System } from "../../system/system.ts";
import { type MoveStatus, readMoveStatus } from "../old-server/status.ts";
import { findRecord, type RestoreRecord } from "../restore/record.ts";

/** Where this host stands in a move, by what its folders hold. */
export interface Standing {
  /** As the old host: what an export has left in its folder. */
  readonly packed: MoveStatus | undefined;
  /** As the new host: what a restore has left beside the configuration, and where that is. */
  readonly restored: { readonly configFolder: string; readonly record: RestoreRecord } | undefined;
}

/** Looks into both folders and changes nothing. Throws `bundle-damaged` for files that cannot be read. */
export async function findStanding(
  { out, configFolder }: { readonly out: string; readonly configFolder: string },
  system: System,
): Promise<Standing> {
  const { files } = system;
  const traces = await Promise.all([JOURNAL, FENCE].map((name) => files.lstat(join(out, name))));
  const record = await findRecord(configFolder, files);
  return {
    packed: traces.some((found) => found !== undefined) ? await readMoveStatus(out, system) : undefined,
    restored: record && { configFolder, record },
  };
}
