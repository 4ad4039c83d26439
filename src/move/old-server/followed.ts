import { MigrationError, tryRead } from "../../errors.ts";
import { connectRecorded } from "../../homeserver/database/follow/administrator.ts";
import { slotState, type SlotState } from "../../homeserver/database/follow/logical/slot.ts";
import { FollowRecord } from "../../homeserver/database/follow/record.ts";
import { describeFollowUndos, undoFollow } from "../../homeserver/database/follow/undo.ts";
import type { Finding } from "../../report/finding.ts";
import { formatBytes } from "../../report/units.ts";
import type { Progress } from "../../system/progress.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import type { BestEffort } from "./best-effort.ts";

/** What was changed on this host so that a copy follows, as far as it is not undone; undefined where there is nothing. */
export async function readFollowed(
  folder: string,
  { files, machine }: Pick<System, "files" | "machine">,
): Promise<FollowRecord | undefined> {
  const record = await FollowRecord.read(folder, files, machine);
  return record && record.activeChanges.length > 0 ? record : undefined;
}

/** What undoing it does, a line each, in this order. */
export const followUndoLines = (record: FollowRecord): string[] =>
  describeFollowUndos(record.activeChanges.toReversed());

export interface UnfollowResult {
  /** What the person still has to do, a line each. */
  readonly leftToDo: readonly string[];
  readonly findings: readonly Finding[];
  /** `fence-failed` when something is left that the same command can still undo. */
  readonly followFailure: MigrationError | undefined;
}

/** Undoes it, as far as that is possible: throws only unexpected errors. May be repeated after an interruption. */
export async function unfollow(
  record: FollowRecord,
  folder: string,
  unwritten: BestEffort,
  system: System,
  progress: Pick<Progress, "note">,
): Promise<UnfollowResult> {
  try {
    const undone = await undoFollow(record, system, progress, (change) =>
      unwritten.attempt(() => record.undone(change)),
    );
    if (record.activeChanges.length === 0) return { ...undone, followFailure: undefined };
    return { ...undone, ...failed(folder, undone.findings, undone.leftToDo) };
  } catch (error) {
    system.signal.throwIfAborted();
    if (!(error instanceof MigrationError)) throw error;
    return { leftToDo: followUndoLines(record), ...failed(folder, [], [error.message]) };
  }
}

function failed(folder: string, findings: readonly Finding[], evidence: readonly string[]) {
  const finding = notUndone(folder, evidence);
  const { sentence, hint } = finding;
  return {
    findings: [...findings, finding],
    followFailure: new MigrationError("fence-failed", `${sentence}: ${evidence.join("; ")}`, { hint }),
  };
}

const notUndone = (folder: string, evidence: readonly string[]): Finding => ({
  id: "follow-not-undone",
  level: "warning",
  sentence: "not everything that was changed in PostgreSQL so that a copy could follow is undone",
  evidence: [...evidence],
  hint: `PostgreSQL keeps at most what its limit allows for the copy, so it does no harm meanwhile; run it again: synlift rollback --out ${quoteShellWord(folder)} --only-follow`,
});

/** What `status` says of a copy that follows: what is changed here, and what PostgreSQL keeps back for it now. */
export async function followedFindings(
  record: FollowRecord | undefined,
  folder: string,
  system: System,
): Promise<Finding[]> {
  if (!record) return [];
  if (record.madeElsewhere)
    return [
      {
        id: "follow-recorded",
        level: "note",
        sentence: `${folder} has the record of a copy that follows a database on ${record.madeElsewhere.hostname}, which is not this host`,
      },
    ];
  const slot = record.activeChanges.find(({ kind }) => kind === "slot");
  const state = slot?.kind === "slot" ? await tryRead(() => stateOf(slot.name, record, system)) : undefined;
  const stop = `once no copy follows any more: synlift follow stop on the new host, or synlift rollback --out ${quoteShellWord(folder)} --only-follow on this one`;
  return [
    {
      id: "follow-recorded",
      level: "note",
      sentence: `the database of ${record.subject} is prepared for a copy that follows, since ${record.begun}`,
      evidence: [
        ...followUndoLines(record).map((line) => `to be undone: ${line}`),
        ...(state ? [describeSlot(state)] : []),
      ],
      hint: stop,
    },
    ...(state?.walStatus === "lost"
      ? [
          {
            id: "follow-slot-lost",
            level: "warning" as const,
            sentence:
              "the copy was further behind than PostgreSQL keeps its log, and is lost; this server is not affected",
            hint: "on the new host, begin again: synlift follow … --begin-again",
          },
        ]
      : []),
  ];
}

async function stateOf(slot: string, record: FollowRecord, system: System): Promise<SlotState | undefined> {
  const session = await connectRecorded(record.administrator, undefined, system, { writes: false });
  return slotState(session, slot).finally(() => session.close());
}

function describeSlot({ active, heldBytes, safeBytes }: SlotState): string {
  const limit = safeBytes === null ? "" : `, and ${formatBytes(safeBytes)} more at most`;
  return `PostgreSQL keeps ${formatBytes(heldBytes)} of its log for the copy${limit}; the copy is ${active ? "connected" : "not connected"}`;
}
