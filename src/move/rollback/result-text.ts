import type { MigrationError } from "../../errors.ts";
import { formatDuration } from "../../report/units.ts";
import type { FinishedRollback, RollbackResult } from "./run.ts";

/** For scripts. */
export function rollbackDetails(result: RollbackResult) {
  const { folder, subject } = result;
  const undone = [...result.changes];
  if (result.kind === "dry-run") return { folder, subject, undone, dryRun: true };
  if (result.kind === "unfollowed")
    return { folder, subject, undone, leftToDo: [...result.leftToDo], outageSeconds: null };
  return {
    folder,
    subject,
    undone,
    leftToDo: [...result.leftToDo],
    outageSeconds: result.outageSeconds ?? null,
  };
}

/** The server's comes first: people wait for that. */
export function rollbackFailure(result: RollbackResult): MigrationError | undefined {
  if (result.kind === "dry-run") return undefined;
  return result.kind === "undone" ? (result.failure ?? result.followFailure) : result.followFailure;
}

/** The result of a rollback in words: what the state of the old host is. */
export function describeRollback(result: RollbackResult): string[] {
  if (result.kind === "dry-run")
    return [...result.changes.map((line) => `would be done: ${line}`), "dry run: nothing was changed"];
  const left = result.leftToDo.map((line) => `still to do: ${line}`);
  if (result.kind === "unfollowed")
    return [
      ...left,
      result.changes.length === 0
        ? `nothing is left to undo for a copy that follows the database of ${result.subject}`
        : left.length > 0
          ? `PostgreSQL of ${result.subject} is not as it was before yet; run the same command again`
          : `no copy follows the database of ${result.subject} any more, and PostgreSQL is as it was before; whether that server runs was not touched. On the new host, synlift follow stop removes the copy`,
    ];
  return [...left, ...describeServerState(result), ...describeOtherWay(result)];
}

/** What the new host has of the move, and how one moves after all. */
function describeOtherWay({ sentDirectly, databaseFollows, copy, folder }: FinishedRollback): string[] {
  const removed = "on the new host, synlift follow stop removes the copy that followed";
  if (!sentDirectly)
    return [
      `the bundle in ${folder} is no longer sealed; to move after all, run the export again, into this folder or a new one`,
      ...(copy === "ended" ? [removed] : []),
    ];
  const closed = "the server restored on the new host must not be opened";
  if (!databaseFollows)
    return [
      `${closed}; to move after all, drop the database there and run the same pull again`,
      ...(copy === "ended" ? [removed] : []),
    ];
  const anew =
    "synlift follow stop, which says what is left of it, then synlift follow --without-media, as pull keeps the media that are there, then the same pull --followed";
  return [
    closed,
    copy === "prepared"
      ? `a copy that was not promoted yet follows on: to move after all, run the same pull --followed again on the new host; in place of one that was promoted, a new one has to be made there: ${anew}`
      : `the copy on the new host follows no more; to move after all, a new one has to be made there: ${anew}`,
  ];
}

function describeServerState({
  subject,
  leftToDo,
  readOnly,
  changed,
  started,
  startedEarlier,
  alive,
  outageSeconds,
  failure,
}: FinishedRollback): string[] {
  if (readOnly) return [`${subject} cannot write on this host yet: do first what is listed as still to do`];
  if (started && leftToDo.length === 0)
    return [
      `${subject} serves again on this host${outageSeconds === undefined ? "" : `, after ${formatDuration(outageSeconds)}`}`,
    ];
  if (failure && !started) return [`${subject} does not answer on this host yet`];
  const again = `an earlier rollback started it again on ${startedEarlier ?? ""}`;
  if (alive)
    return [
      startedEarlier === undefined
        ? `${subject} runs on this host`
        : `${subject} runs on this host: ${again}`,
    ];
  if (startedEarlier !== undefined && leftToDo.length === 0)
    return [`${subject} is not running, although ${again}: check its log, then start it as usual`];
  return [
    `${subject} can be started again on this host: ${changed ? "the fence is lifted" : "this export had fenced nothing"}`,
    ...(leftToDo.length > 0
      ? []
      : ["synlift did not stop it, so it does not start it: start it the way you stopped it"]),
  ];
}
