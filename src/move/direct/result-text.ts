import { describeDryRun, describeRestoredServer } from "../restore/result-text.ts";
import type { PullResult } from "./pull.ts";

/** What a direct transfer did, a line each. */
export function describePull(result: PullResult): string[] {
  if (result.kind === "compared")
    return [
      `rehearsed: all rows were compared on ${result.at}, and nothing was stopped; at the cut-over only what is written from now on is compared`,
    ];
  if (result.kind === "dry-run")
    return [...result.steps.map((step) => `would be done: ${step}`), describeDryRun(result)];
  // The passphrase of the inventory is in the record's folder: no key need be given.
  return describeRestoredServer(result.server, {});
}
