import { MigrationError } from "../../errors.ts";
import type { System } from "../../system/system.ts";
import { askServerState } from "../old-server/ask-state.ts";
import { type FollowState, oldHostOf } from "./state.ts";

/** A copy that nothing can keep up to date any more. `lost` is the state that is to be remembered. */
export class CopyLost extends MigrationError {
  readonly lost: FollowState;

  constructor(state: FollowState) {
    const { code, message, hint } = state.endedThere
      ? endedError(state, state.endedThere)
      : logRemovedError(state);
    super(code, message, { hint });
    this.name = "CopyLost";
    this.lost = { ...state, stage: isCutOver(state) ? state.stage : "lost" };
  }
}

/** The database stays then, whatever becomes of the old host. */
const isCutOver = ({ stage }: Pick<FollowState, "stage">) => stage === "detached" || stage === "done";

const logRemovedError = ({ old }: FollowState) =>
  new MigrationError(
    "follow-lost",
    `the old server has removed parts of its log that the copy still needed${old.slot === null ? "" : `: replication slot ${old.slot} is lost`}, because the copy was too far behind or too long away`,
    {
      hint: "the copy cannot be continued, and the old server runs as before. Begin again with the same command and --begin-again",
    },
  );

function endedError(state: FollowState, { at }: NonNullable<FollowState["endedThere"]>): MigrationError {
  const { role, slot } = state.old;
  const what = slot === null ? `role ${role}` : `role ${role} and replication slot ${slot}`;
  return new MigrationError(
    "follow-lost",
    `the copy was ended on the old host${at === null ? "" : ` on ${at}`}: what was made there for it, ${what}, is undone`,
    {
      hint: !isCutOver(state)
        ? "somebody ran synlift rollback there. The copy cannot be continued: synlift follow stop deletes it; to move after all, begin again with synlift follow --begin-again"
        : "somebody ran synlift rollback there. This database was promoted, and does not follow: synlift follow stop says what is left here; to move after all, synlift follow makes another copy",
    },
  );
}

/**
 * Whether the copy was ended on the old host, as synlift there has recorded it, for a copy that the old server does not let in any more.
 * Undefined where it was not, and where that cannot be asked.
 */
export async function endedThere(
  state: FollowState,
  system: Pick<System, "programs" | "machine" | "signal">,
): Promise<FollowState["endedThere"]> {
  try {
    const { follow } = await askServerState(oldHostOf(state), system);
    const isOurs = follow?.id === state.id;
    if (isOurs && follow.hasRole && (follow.hasSlot || state.old.slot === null)) return undefined;
    return { at: isOurs ? follow.undoneAt : null };
  } catch (error) {
    system.signal.throwIfAborted();
    if (!(error instanceof MigrationError)) throw error;
    return undefined;
  }
}

/** Why its slot does not serve it any more: one that is lost was too far behind, one that is gone may have been dropped with the rest. */
export async function lostCopy(
  state: FollowState,
  { slot }: { readonly slot: string },
  system: Pick<System, "programs" | "machine" | "signal">,
): Promise<CopyLost> {
  const ended = slot === "missing" ? await endedThere(state, system) : undefined;
  return new CopyLost(ended ? { ...state, endedThere: ended } : state);
}
