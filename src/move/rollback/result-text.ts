import { formatDuration } from "../../report/units.ts";
import type { UndoResult } from "../old-server/undo.ts";

export interface RollbackResult extends UndoResult {
  readonly subject: string;
  readonly folder: string;
  /** Whether it was sent directly to the new host, without a bundle. */
  readonly sent: boolean;
  /** Whether this run, or one before it, had anything to undo. */
  readonly changed: boolean;
  /** When an earlier rollback started it, ISO 8601. */
  readonly startedEarlier: string | undefined;
  /** Whether the server runs or answers now. */
  readonly alive: boolean;
  /** Seconds; undefined when unknown. */
  readonly outage: number | undefined;
}

/** The result of a rollback in words: what the state of the old host is. */
export const describeRollback = (back: RollbackResult): string[] => [
  ...back.leftToDo.map((line) => `still to do: ${line}`),
  ...describeServerState(back),
  back.sent
    ? "the server restored on the new host must not be opened; to move after all, drop the database there and run the same restore again"
    : `the bundle in ${back.folder} is no longer sealed; to move after all, run the export again, into this folder or a new one`,
];

function describeServerState({
  subject,
  leftToDo,
  readOnly,
  changed,
  started,
  startedEarlier,
  alive,
  outage,
  failure,
}: RollbackResult): string[] {
  if (readOnly) return [`${subject} cannot write on this host yet: do first what is listed as still to do`];
  if (started && leftToDo.length === 0)
    return [
      `${subject} serves again on this host${outage === undefined ? "" : `, after ${formatDuration(outage)}`}`,
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
