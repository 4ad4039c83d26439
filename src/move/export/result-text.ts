import { describeOrigin } from "../../bundle/origin.ts";
import { formatBytes, formatCountOf } from "../../report/units.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { ExportResult } from "./run.ts";

/** For scripts: sizes in bytes. */
export function exportDetails(result: ExportResult) {
  const { folder } = result;
  if (result.kind === "dry-run") return { folder, dryRun: true, wouldDo: [...result.wouldDo] };
  const { manifest, report } = result;
  return {
    folder,
    report,
    bundle: manifest.id,
    bytes: bytesOf(manifest),
    artifacts: manifest.artifacts.map(({ name }) => name),
    rehearsal: manifest.rehearsal,
    outageSince: manifest.outageSince,
    recipients: [...(manifest.recipients ?? [])],
    inventorySha256: manifest.inventory.sha256,
    sentTo: result.sentTo ?? null,
  };
}

/** The result of an export in words: where the bundle is, and what to do next. */
export function describeExport(result: ExportResult): string[] {
  const { folder } = result;
  if (result.kind === "dry-run")
    return [
      ...result.wouldDo.map((line) => `would be done: ${line}`),
      `dry run: nothing was written; the bundle would be in ${folder}`,
    ];
  const { manifest, report, sentTo } = result;
  const { artifacts, rehearsal, subject } = manifest;
  const where = sentTo === undefined ? `is packed in ${folder}` : `is packed and was sent to ${sentTo}`;
  return [
    `${rehearsal ? "a rehearsal of " : ""}${subject} ${where}: ${formatCountOf(artifacts.length, "artifact")}, ${formatBytes(bytesOf(manifest))}, read back and intact`,
    ...describeOrigin(manifest),
    `report: ${report}`,
    ...(rehearsal
      ? []
      : [
          `${sentTo === undefined ? `send the folder to the new host (synlift send ${quoteShellWord(folder)} DEST) and run synlift restore there` : "on the new host, run synlift restore on that folder, or synlift fetch it first"}; or, to cancel the move before the new server is open: synlift rollback --out ${quoteShellWord(folder)} --target URL, with the address of the new server`,
        ]),
  ];
}

const bytesOf = ({ artifacts }: { readonly artifacts: readonly { readonly size: number }[] }) =>
  artifacts.reduce((sum, { size }) => sum + size, 0);
