import { formatDuration } from "../../report/units.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { OpenResult } from "./run.ts";

/** The result in sentences, a line each; the findings say why something is blocked. */
export function describeOpened(result: OpenResult): string[] {
  switch (result.kind) {
    case "blocked":
      return [];
    case "dry-run":
      return ["every gate passes; dry run: nothing was opened"];
    case "trial":
      return [
        `${result.serverName} can be tried out at ${result.url}: only from this host, without federation, mail, push and bridges`,
        `to stop it: ${result.stop}`,
      ];
    case "opened":
      return [
        result.started
          ? `${result.serverName} is open on its new host`
          : `${result.serverName} may start now: give Synapse ${result.configPaths.map((path) => `-c ${quoteShellWord(path)}`).join(" ")}`,
        ...(result.outageSeconds === undefined
          ? []
          : [`outage: ${formatDuration(result.outageSeconds)}, from the stop of the old server to now`]),
        ...(result.report === undefined ? [] : [`report: ${result.report}`]),
        ...(result.rehearsal
          ? [
              "this is a rehearsal: the real server is the one that kept running; do not make this one reachable",
            ]
          : [
              "the old server must never be started again",
              "now move the address; then, from another host, check it:",
              ...result.check.split("\n"),
            ]),
      ];
  }
}

/** The result for scripts; part of the contract of `open --json`. */
export function openDetails(result: OpenResult) {
  if (result.kind === "trial") return { opened: false, url: result.url, stop: result.stop };
  if (result.kind !== "opened") return { opened: false };
  const { serverName, outageSeconds = null, report = null, check } = result;
  return { opened: true, serverName, outageSeconds, report, check };
}
