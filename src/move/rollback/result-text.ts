import { formatDuration } from "../../report/units.ts";
import type { WentBack } from "../old-server/undo.ts";

export interface Back extends WentBack {
  readonly subject: string;
  readonly folder: string;
  /** Whether it was sent to the new host, with no bundle. */
  readonly sent: boolean;
  /** Whether this run, or one before it, had anything to undo. */
  readonly changed: boolean;
  /** When an earlier rollback started it, ISO 8601. */
  readonly earlier: string | undefined;
  /** Whether the server shows signs of life, now. */
  readonly alive: boolean;
  /** Seconds; undefined when nobody knows. */
  readonly outage: number | undefined;
}

/** For people: how it stands on the old host after a rollback. */
export const backLines = (back: Back): string[] => [
  ...back.left.map((line) => `left to you: ${line}`),
  ...standing(back),
  back.sent
    ? "what the new host has must not be opened any more; to move after all, drop the database there, and run the same restore again"
    : `the bundle in ${back.folder} is no longer sealed; to move after all, run the export again, into this folder or a new one`,
];

function standing({
  subject,
  left,
  closed,
  changed,
  started,
  earlier,
  alive,
  outage,
  failure,
}: Back): string[] {
  if (closed) return [`${subject} cannot write on this host yet: do first what is left to you`];
  if (started && left.length === 0)
    return [
      `${subject} serves again on this host${outage === undefined ? "" : `, after ${formatDuration(outage)}`}`,
    ];
  if (failure && !started) return [`${subject} does not serve on this host yet`];
  const again = `it was started again by an earlier rollback, on ${earlier ?? ""}`;
  if (alive)
    return [
      earlier === undefined ? `${subject} runs on this host` : `${subject} runs on this host: ${again}`,
    ];
  if (earlier !== undefined && left.length === 0)
    return [`${subject} does not run now, although ${again}: look at its log, and start it as you do`];
  return [
    `${subject} may run again on this host: ${changed ? "nothing of the fence is left" : "this export had fenced nothing"}`,
    ...(left.length > 0
      ? []
      : ["synlift did not stop it, so it does not start it: do that with what you stopped it with"]),
  ];
}
