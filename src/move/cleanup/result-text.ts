import { formatBytes } from "../../report/units.ts";
import type { LeftFile } from "./items.ts";
import type { CleanupResult } from "./run.ts";

const bytesOf = (left: readonly LeftFile[]) => left.reduce((sum, { bytes }) => sum + bytes, 0);

/** For scripts: sizes in bytes. */
export function cleanupDetails({ kind, left }: CleanupResult) {
  const gone = left.filter(({ kept }) => !kept);
  return {
    removed: kind === "removed",
    bytes: bytesOf(gone),
    files: gone.map(({ path, bytes, why }) => ({ path, bytes, why })),
    kept: left.filter(({ kept }) => kept).map(({ path, why }) => ({ path, why })),
  };
}

/** What is left, summed by its reason, as most of it are parts of one bundle. */
export function describeCleanup({ kind, left }: CleanupResult): string[] {
  const gone = left.filter(({ kept }) => !kept);
  const reasons = [...new Set(gone.map(({ why }) => why))];
  const lines = reasons.map((why) => {
    const files = gone.filter((file) => file.why === why);
    const where = files.length === 1 ? files[0]!.path : `${files.length} files beside ${files[0]!.path}`;
    return `${why}: ${where}, ${formatBytes(bytesOf(files))}`;
  });
  const kept = left.filter((file) => file.kept).map(({ path, why }) => `kept: ${why}: ${path}`);
  const end = {
    listed: `nothing was removed; with --yes it would be, ${formatBytes(bytesOf(gone))} in all, once nothing above blocks it`,
    refused: "nothing was removed",
    removed: `removed: ${gone.length} files, ${formatBytes(bytesOf(gone))}. Remove the bundle where else it was sent to, too`,
  }[kind];
  return [...lines, ...kept, end];
}
