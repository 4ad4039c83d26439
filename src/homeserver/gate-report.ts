import { join } from "node:path";
import type { Inventory } from "../bundle/inventory.ts";
import { REPORT } from "../bundle/layout.ts";
import { openPage } from "../move/open/report.ts";
import { recordFolder, type RestoreRecord } from "../move/restore/record.ts";
import type { Finding } from "../report/finding.ts";
import { pageHtml } from "../report/html.ts";
import type { Files } from "../system/files/files.ts";

export interface GateReport {
  readonly folder: string;
  readonly record: RestoreRecord;
  readonly inventory: Inventory;
  readonly findings: readonly Finding[];
  readonly accepted: readonly string[];
  readonly opened: boolean;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Where a person wants it too; absolute. */
  readonly html: string | undefined;
}

/** From the fence on the old host to `now`, in seconds; undefined when nobody knows when it was. */
export const outageOf = ({ outageSince }: RestoreRecord, now: number) =>
  outageSince === null ? undefined : (now - Date.parse(outageSince)) / 1000;

/** Writes the gates as a page: beside the configuration once the server is open, and where a person wants it. Answers where. */
export async function writeGateReport(of: GateReport, files: Files): Promise<string> {
  const { folder, record, inventory, findings, accepted, opened, now, html } = of;
  const { rehearsal, serverName: subject } = record;
  const outageSeconds = outageOf(record, now);
  const page = pageHtml(
    openPage({ rehearsal, subject, inventory, findings, accepted, outageSeconds, opened, now }),
  );
  const kept = join(recordFolder(folder), REPORT);
  if (opened) await files.writeWhole(kept, page);
  if (html !== undefined) await files.writeWhole(html, page);
  return html ?? kept;
}
