import { join } from "node:path";
import { LOCK, MANIFEST } from "../../bundle/layout.ts";
import { type CurrentProgress, readProgress } from "../../bundle/progress-file.ts";
import { journalMadeElsewhere } from "../../bundle/workspace.ts";
import { MigrationError } from "../../errors.ts";
import type { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { isHolderGone, type LockHolder, readLockHolder } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import {
  changedSinceFenced,
  fenceFindings,
  machineUnknownFindings,
  madeElsewhereFinding,
} from "./changed-since.ts";
import { type ExportState, readExportState } from "./export-state.ts";
import { followedFindings, readFollowed } from "./followed.ts";
import { findLifted } from "./lifted.ts";
import { HANDED_OVER, OUTAGE_SINCE, SENT_DIRECTLY } from "./journal-facts.ts";

/** How far a move has come, as the files in its folder on the old host show it. All times are ISO 8601. */
export interface MoveStatus {
  /** Folder of the bundle, or of a direct transfer. */
  readonly folder: string;
  /** The server name; empty when neither journal nor fence record has it. */
  readonly subject: string;
  /** "move" or "rehearsal". */
  readonly purpose: string;
  readonly state: MoveState;
  /** Whether the bundle is complete: also true while a further run works on it. */
  readonly sealed: boolean;
  /** Whether the homeserver is sent directly to the new host, without a bundle. */
  readonly sentDirectly: boolean;
  /** When the new host had received everything by a direct transfer. */
  readonly handedOver: string | undefined;
  readonly outageSince: string | undefined;
  /** Whether changes to this host are recorded that were not undone. */
  readonly fenced: boolean;
  readonly steps: readonly FinishedStep[];
  /** Why the progress is unknown, where it is. */
  readonly journalFindings: readonly Finding[];
  /** What is changed on the old host, and whether its server has run or written since. */
  readonly fenceFindings: readonly Finding[];
  /** What is changed there so that a copy of its database can follow. */
  readonly followFindings: readonly Finding[];
}

type MoveState =
  | { readonly kind: "running"; readonly holder: LockHolder; readonly progress: CurrentProgress | undefined }
  | { readonly kind: "sealed" }
  | { readonly kind: "handed-over"; readonly at: string }
  /** Nothing was finished since the rollback. */
  | { readonly kind: "rolled-back"; readonly at: string }
  /** Only a copy of the database follows; nothing was stopped or sent. */
  | { readonly kind: "following" }
  | { readonly kind: "interrupted" };

export interface FinishedStep {
  readonly id: string;
  /** What the step recorded: for an artifact its `name`, and its `size` in bytes. */
  readonly outcome: Readonly<Record<string, unknown>>;
  readonly at: string;
}

/**
 * Reads how far the move in this folder has come. Changes nothing, and may run beside the move itself. Throws
 * `bundle-incomplete` when none was started there, `bundle-damaged` when its files cannot be read.
 */
export async function readMoveStatus(folder: string, system: System): Promise<MoveStatus> {
  const { files, machine } = system;
  const followed = await readFollowed(folder, system);
  const exported = await readExportState(folder, system).catch((error: unknown) => {
    if (followed && error instanceof MigrationError && error.code === "bundle-incomplete") return undefined;
    throw error;
  });
  const { journal, record, findings: journalFindings } = exported ?? NOTHING_EXPORTED;
  const holder = await readLockHolder(join(folder, LOCK), files);
  const running = holder !== undefined && !isHolderGone(holder, machine) ? holder : undefined;
  const sealed = (await files.lstat(join(folder, MANIFEST))) !== undefined;
  const facts = journal?.facts ?? {};
  const steps = Object.entries(journal?.steps ?? {}).map(([id, { outcome, at }]) => ({ id, outcome, at }));
  const sentDirectly = facts[SENT_DIRECTLY] !== undefined;
  const handedOver = facts[HANDED_OVER];
  const state: MoveState = running
    ? { kind: "running", holder: running, progress: await readProgress(folder, files) }
    : exported === undefined
      ? { kind: "following" }
      : stateAtRest({ sealed, handedOver, rolledBackAt: record?.rolledBackAt, steps });
  const elsewhere = record?.madeElsewhere ?? (journal && journalMadeElsewhere(journal, machine));
  const fence = elsewhere
    ? [madeElsewhereFinding(elsewhere, record)]
    : [
        ...machineUnknownFindings(record),
        ...(await fenceNow({ record, running: running !== undefined, sentDirectly }, system)),
      ];
  return {
    folder,
    subject: facts["subject"] ?? record?.subject ?? followed?.subject ?? "",
    purpose: facts["kind"] ?? "move",
    state,
    sealed,
    sentDirectly,
    handedOver,
    outageSince: facts[OUTAGE_SINCE],
    fenced: elsewhere === undefined && record !== undefined && record.activeChanges.length > 0,
    steps,
    journalFindings,
    fenceFindings: fence,
    followFindings: await followedFindings(followed, folder, system),
  };
}

const NOTHING_EXPORTED: ExportState = { journal: undefined, record: undefined, findings: [] };

/** The fence as it is recorded, and as it is. While an export runs, it is being made. */
async function fenceNow(
  {
    record,
    running,
    sentDirectly,
  }: { record: FenceRecord | undefined; running: boolean; sentDirectly: boolean },
  system: System,
): Promise<Finding[]> {
  if (record === undefined) return [];
  if (running) return fenceFindings(record);
  const lifted = await findLifted(record, system);
  return [...fenceFindings(record, lifted), ...(await changedSinceFenced(record, sentDirectly, system))];
}

function stateAtRest({
  sealed,
  handedOver,
  rolledBackAt,
  steps,
}: Pick<MoveStatus, "sealed" | "handedOver" | "steps"> & {
  readonly rolledBackAt: string | undefined;
}): MoveState {
  if (sealed) return { kind: "sealed" };
  if (handedOver !== undefined) return { kind: "handed-over", at: handedOver };
  if (rolledBackAt !== undefined && steps.every(({ at }) => at < rolledBackAt))
    return { kind: "rolled-back", at: rolledBackAt };
  return { kind: "interrupted" };
}
