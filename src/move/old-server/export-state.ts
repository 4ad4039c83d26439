import { join } from "node:path";
import { JOURNAL } from "../../bundle/layout.ts";
import { MigrationError } from "../../errors.ts";
import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { Journal } from "../../journal/journal.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";

/** What an export, or the old host's half of a road, has left in its folder. */
export interface Begun {
  /** Undefined when it is not there, or cannot be read: the fence can be lifted without it. */
  readonly journal: Journal | undefined;
  /** Undefined when nothing was ever changed on this host. */
  readonly record: FenceRecord | undefined;
  /** Why there is no journal beside a fence. */
  readonly findings: readonly Finding[];
}

/** Throws `bundle-unfinished` when nothing was begun there, `bundle-damaged` when what is there cannot be read. */
export async function readBegun(
  folder: string,
  { files, machine }: Pick<System, "files" | "machine">,
): Promise<Begun> {
  const record = await FenceRecord.read(folder, files, machine);
  const path = join(folder, JOURNAL);
  try {
    const journal = await Journal.read(path, files);
    if (journal) return { journal, record, findings: [] };
  } catch (error) {
    if (!(error instanceof MigrationError) || !record) throw error;
    return { journal: undefined, record, findings: [unread(error.message)] };
  }
  if (record) return { journal: undefined, record, findings: [unread(`${path} is not there`)] };
  throw new MigrationError("bundle-unfinished", `no export was begun in ${folder}`, {
    hint: "name the folder given to export with --out, on the host where that ran",
  });
}

const unread = (why: string): Finding => ({
  id: "journal-unread",
  level: "warning",
  sentence: `${why}: how far the export came is not known`,
  hint: "synlift rollback lifts the fence without it; for another try, export into a new folder",
});
