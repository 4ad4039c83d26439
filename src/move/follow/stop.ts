import { MigrationError } from "../../errors.ts";
import { endCopies } from "../../homeserver/database/follow/base-backup.ts";
import { lookAtData, removeStandby, stopStandby } from "../../homeserver/database/follow/standby-server.ts";
import type { Finding } from "../../report/finding.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { bulletList, confirm } from "../confirm.ts";
import { askSource } from "./ask-source.ts";
import { oldHostOf } from "./begin.ts";
import { type FollowState, readFollowState, removeFollowState } from "./state.ts";
import { describeCopy } from "./logical/choose.ts";
import { emptyLogical, releaseLogical } from "./logical/stop.ts";
import { removeTunnelFolder } from "./tunnel.ts";

export interface StopOrder {
  /** Absolute. */
  readonly configDir: string;
  /** Delete the copy without asking. */
  readonly yes: boolean;
  readonly dryRun: boolean;
  /** Leave the old host alone: it cannot be reached any more. */
  readonly isOldHostGone: boolean;
}

export interface StopResult {
  /** "nothing": nothing follows here. "kept": the database was promoted, and stays. */
  readonly kind: "nothing" | "dry-run" | "removed" | "kept";
  readonly findings: readonly Finding[];
  /** What was done, or would be, a line each. */
  readonly lines: readonly string[];
  /** What a person still has to do on the old host. */
  readonly leftToDo: readonly string[];
}

/** Asks whether the copy may be ended and deleted, unless that was said. Throws `bad-usage` when the answer is no. */
export async function agreeToStop(order: StopOrder, system: System): Promise<void> {
  const state = await readFollowState(order.configDir, system);
  if (!state || order.yes || order.dryRun) return;
  const isKept = await isPromoted(state, system);
  await askConsent(state, describeStop(state, isKept, order), isKept, system);
}

/**
 * Ends a copy: takes away on the old host what was made for it, then removes the copy. A database that was promoted is never
 * removed. May be repeated after an interruption at any moment. The caller holds the lock. Throws `connection-failed` when the
 * old host cannot be reached, and what fails there; then everything here is still there.
 */
export async function stopFollowing(
  order: StopOrder,
  system: System,
  progress: Progress,
): Promise<StopResult> {
  const { configDir } = order;
  const { files } = system;
  const state = await readFollowState(configDir, system);
  if (!state) return { kind: "nothing", findings: [], lines: [], leftToDo: [] };
  const isKept = await isPromoted(state, system);
  const lines = describeStop(state, isKept, order);
  if (order.dryRun) return { kind: "dry-run", findings: [], lines, leftToDo: [] };
  // Its connection would hold the slot.
  if (state.here.kind === "standby" && !isKept) {
    await endCopies(state.here, system);
    await stopStandby(state.here, system);
  }
  if (state.here.kind === "logical" && !isKept) await releaseLogical(state, configDir, system);
  const undone = order.isOldHostGone
    ? undefined
    : await askSource(oldHostOf(state), { type: "undo" }, system, progress);
  if (state.here.kind === "standby" && !isKept)
    await removeStandby(state.here, state.old.systemIdentifier, system);
  if (state.here.kind === "logical" && !isKept) await emptyLogical(configDir, system);
  await removeTunnelFolder(state, system);
  await removeFollowState(configDir, state, files);
  return {
    kind: isKept ? "kept" : "removed",
    findings: (undone?.findings ?? []) as Finding[],
    lines,
    leftToDo: undone?.leftToDo ?? [],
  };
}

/** By what the folder is, and by the state: either of them is enough. */
async function isPromoted(state: FollowState, system: System): Promise<boolean> {
  if (state.stage === "detached" || state.stage === "done") return true;
  if (state.here.kind !== "standby") return false;
  const found = await lookAtData(state.here, system);
  return found.kind === "own" && found.systemIdentifier === state.old.systemIdentifier;
}

function describeStop(state: FollowState, isKept: boolean, { isOldHostGone }: StopOrder): string[] {
  const { old, here } = state;
  const place =
    here.kind === "standby"
      ? here.cluster
        ? `the PostgreSQL cluster ${here.cluster.major}/${here.cluster.name} with its data in ${here.data}`
        : `the PostgreSQL in ${here.data}`
      : describeCopy(here);
  return [
    isOldHostGone
      ? `leave ${old.address} as it is: role ${old.role}, replication slot ${old.slot ?? "(none)"} and settings stay there`
      : `take away on ${old.address} what was made for the copy: role ${old.role}, replication slot ${old.slot ?? "(none)"}, settings`,
    isKept
      ? `keep ${place} on this host: it was ${here.kind === "standby" ? "promoted" : "detached"}, and synlift removes no database that was cut over`
      : here.kind === "logical"
        ? `end the subscription ${here.subscription} on this host and delete all tables in ${place}; the database itself, its role and its password stay`
        : `delete the copy on this host: ${place}`,
  ];
}

async function askConsent(
  state: FollowState,
  lines: readonly string[],
  isKept: boolean,
  system: System,
): Promise<void> {
  await confirm(
    {
      question: `The copy of the database of ${state.serverName} ends:${bulletList(lines)}\n${isKept ? "Continue?" : "Delete the copy?"}`,
      consequence: lines.join("; "),
      otherwise: new MigrationError("bad-usage", "nothing was ended: you answered no", {
        hint: "the copy stays, and can be followed further",
      }),
    },
    system,
  );
}
