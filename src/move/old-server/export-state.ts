import { join } from "node:path";
import { JOURNAL } from "../../bundle/layout.ts";
import { MigrationError } from "../../errors.ts";
import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { Journal } from "../../journal/journal.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";

/** What an export, or the sending side of a direct transfer, has left in its folder. */
export interface ExportState {
  /** Undefined when it is missing or cannot be read: the fence can be lifted without it. */
  readonly journal: Journal | undefined;
  /** Undefined when nothing was ever changed on this host. */
  readonly record: FenceRecord | undefined;
  /** Why there is no journal beside a fence. */
  readonly findings: readonly Finding[];
}

/** Throws `bundle-incomplete` when no export was started there, `bundle-damaged` when its files cannot be read. */
export async function readExportState(
  folder: string,
  { files, machine }: Pick<System, "files" | "machine">,
): Promise<ExportState> {
  const record = await FenceRecord.read(folder, files, machine);
  const path = join(folder, JOURNAL);
  try {
    const journal = await Journal.read(path, files);
    if (journal) return { journal, record, findings: [] };
  } catch (error) {
    if (!(error instanceof MigrationError) || !record) throw error;
    return { journal: undefined, record, findings: [journalUnreadable(error.message)] };
  }
  if (record) return { journal: undefined, record, findings: [journalUnreadable(`${path} does not exist`)] };
  throw new MigrationError("bundle-incomplete", `no export was started in ${folder}`, {
    hint: "name the folder given to export with --out, on the host where that ran",
  });
}

const journalUnreadable = (why: string): Finding => ({
  id: "journal-unreadable",
  level: "warning",
  sentence: `${why}: the progress of the export is unknown`,
  hint: "synlift rollback lifts the fence without it; to try again, export into a new folder",
});
