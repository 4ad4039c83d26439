import type { Finding } from "../../report/finding.ts";
import { formatAmount, formatBytes, formatShare } from "../../report/units.ts";
import type { FinishedStep, MoveStatus } from "./status.ts";

/** The progress of a move as findings: what is finished, its state now, and the fence. */
export const statusFindings = (status: MoveStatus): Finding[] => [
  ...status.journalFindings,
  ...status.steps.filter(({ outcome }) => outcome["name"] !== undefined).map(artifactFinding),
  stateFinding(status),
  ...status.fenceFindings,
  ...status.followFindings,
];

/** For scripts. */
export function statusDetails(status: MoveStatus) {
  const { state } = status;
  const progress = state.kind === "running" ? state.progress : undefined;
  return {
    folder: status.folder,
    subject: status.subject,
    kind: status.purpose,
    running: state.kind === "running",
    sealed: status.sealed,
    handedOver: status.handedOver ?? null,
    outageSince: status.outageSince ?? null,
    fenced: status.fenced,
    now: progress ?? null,
    steps: status.steps.map(({ id }) => id),
  };
}

export const describeStatus = ({ purpose, subject, folder }: MoveStatus): string[] => [
  `${purpose === "rehearsal" ? "a rehearsal of " : "the move of "}${subject}, in ${folder}`,
];

function artifactFinding({ id, outcome, at }: FinishedStep): Finding {
  const size = typeof outcome["size"] === "number" ? `, ${formatBytes(outcome["size"])}` : "";
  return { id, level: "ok", sentence: `${String(outcome["name"])} was finished on ${at}${size}` };
}

function stateFinding({ state, sentDirectly }: MoveStatus): Finding {
  switch (state.kind) {
    case "running": {
      const { holder, progress } = state;
      const process = `process ${holder.pid} on ${holder.host}`;
      if (!progress)
        return {
          id: "running",
          level: "note",
          sentence: `${process} has been working on it since ${holder.since}`,
        };
      const { label, unit, done, total } = progress;
      const amount = total === null ? formatAmount(done, unit) : formatShare(done, total, unit);
      return { id: "running", level: "note", sentence: `${process} is working on it: ${label}, ${amount}` };
    }
    case "sealed":
      return { id: "sealed", level: "ok", sentence: "the bundle is sealed: it is complete" };
    case "handed-over":
      return {
        id: "transfer-complete",
        level: "ok",
        sentence: `the new host has had everything since ${state.at}`,
      };
    case "rolled-back":
      return {
        id: "rolled-back",
        level: "note",
        sentence: `cancelled by rollback on ${state.at}: the old server may run; to move after all, ${sentDirectly ? "run the same pull again on the new host" : "run the export again, into this folder or a new one"}`,
      };
    case "following":
      return {
        id: "following",
        level: "ok",
        sentence: "a copy of the database follows; this server goes on, and nothing else was begun here",
      };
    case "interrupted":
      return {
        id: "interrupted",
        level: "warning",
        sentence: "no process is working on it, and it is not complete",
        hint: `run the same ${sentDirectly ? "pull again on the new host" : "export again"}: it continues where it stopped`,
      };
  }
}
