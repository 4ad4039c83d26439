import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import type { System } from "../../system/system.ts";
import { recordFolder } from "../restore/record.ts";
import { type Begun, prepareFollow } from "./begin.ts";
import type { FollowOrder } from "./order.ts";
import { copyStandby } from "./copy-standby.ts";
import { placeOf } from "./logical/choose.ts";
import { copyLogical } from "./logical/copy.ts";
import { copyMediaBeside } from "./media/beside.ts";
import type { MediaRecord } from "./media/record.ts";
import { CopyLost } from "./ended.ts";
import { type FollowedUntil, keepFollowing } from "./loop.ts";
import { acquireFollowLock } from "./lock.ts";
import { type FollowState, oldHostOf, readFollowState, writeFollowState } from "./state.ts";
import { agreeToStop, isPromoted, stopFollowing } from "./stop.ts";
import { assertMayHaveUnit, startUnit, type Unit } from "./unit.ts";

export type FollowResult =
  | { readonly kind: "dry-run"; readonly findings: readonly Finding[]; readonly lines: readonly string[] }
  | {
      readonly kind: "unit";
      readonly findings: readonly Finding[];
      readonly state: FollowState;
      readonly unit: Unit;
    }
  | ({
      readonly kind: "followed";
      readonly findings: readonly Finding[];
      readonly state: FollowState;
      readonly media: MediaRecord | undefined;
    } & FollowedUntil);

/**
 * Begins a copy of the old server's database that follows it, or goes on with one, until the run is asked to stop. What is done on both
 * hosts is shown and asked about once. Resumes after an interruption at any moment; a copy that was broken off begins from its start,
 * as PostgreSQL cannot continue one. Throws `follow-lost`, `bundle-in-use`, what a copy throws, and what the old host refuses.
 */
export async function follow(order: FollowOrder, system: System, view: ProgressView): Promise<FollowResult> {
  const { configDir } = order;
  if (order.dryRun) return wouldFollow(order, system, view);
  if (order.service) await assertMayHaveUnit(order.service.systemdDir, system);
  // The new server's account has to be able to enter it later, as with Debian's package; what is secret in it has modes of its own.
  await system.files.makeFolder(configDir, 0o755);
  await system.files.makeFolder(recordFolder(configDir));
  const lock = await acquireFollowLock(configDir, system);
  let begun: Begun | undefined;
  try {
    const before = await readFollowState(configDir, system);
    if (before?.stage === "lost" && !order.beginAgain) throw new CopyLost(before);
    if (before && order.beginAgain) {
      await assertMayBeginAgain(order, before, system, view);
      const end = { configDir, yes: order.yes, dryRun: false, isOldHostGone: false, keepsMedia: true };
      await agreeToStop(end, system);
      await stopFollowing(end, system, view);
    }
    const prepared = await (before && order.beginAgain
      ? prepareFollow(again(order, before), undefined, system, view)
      : prepareFollow(order, before, system, view));
    if (prepared.kind === "dry-run") return prepared;
    begun = prepared;
    if (!order.service) {
      const { state, findings } =
        begun.state.road === "standby"
          ? await copyStandby(begun, order, system, view)
          : { state: await copyLogical(begun.state, order, system, view), findings: [] };
      for (const { level, sentence, hint } of findings)
        if (level === "warning") view.note(hint === undefined ? sentence : `${sentence}; ${hint}`);
      // Only now: the first copy of the database has the line and the disks to itself, as the old server keeps its log for it meanwhile.
      const media = await copyMediaBeside({ configDir, old: oldHostOf(state) }, system, view);
      const ended = await keepFollowing(
        { state, configDir, untilCaughtUp: order.untilCaughtUp, media },
        system,
        view,
      ).finally(() => media?.stop());
      if (ended.ended === "caught-up" && media?.failure) throw media.failure;
      return {
        kind: "followed",
        findings: [...begun.findings, ...findings],
        state,
        media: media?.record,
        ...ended,
      };
    }
  } catch (error) {
    if (error instanceof CopyLost) await writeFollowState(configDir, error.lost, system.files);
    throw error;
  } finally {
    await lock.release();
  }
  const unit = await startUnit(
    { configDir, ...order.service, checkpoint: order.checkpoint, maxRate: order.maxRate },
    begun.state,
    system,
  );
  return { kind: "unit", findings: begun.findings, state: begun.state, unit };
}

/** Changes nothing on either host. */
async function wouldFollow(order: FollowOrder, system: System, view: ProgressView): Promise<FollowResult> {
  const { configDir } = order;
  const before = await readFollowState(configDir, system);
  if (before && order.beginAgain) {
    const end = { configDir, yes: true, dryRun: true, isOldHostGone: false, keepsMedia: true };
    const { lines } = await stopFollowing(end, system, view);
    await assertMayBeginAgain(order, before, system, view);
    const { address } = again(order, before).old ?? before.old;
    return {
      kind: "dry-run",
      findings: [],
      lines: [...lines, `make another copy of the database on ${address}`],
    };
  }
  if (before?.stage === "lost") throw new CopyLost(before);
  const found = await prepareFollow(order, before, system, view);
  if (found.kind === "dry-run") return found;
  const { old, serverName } = found.state;
  const { port } = order.place;
  const isMoved = before?.here.kind === "standby" && port !== undefined && port !== before.here.port;
  return {
    kind: "dry-run",
    findings: [],
    lines: [
      `go on with the copy of the database of ${serverName} on ${old.address}, which was begun`,
      ...(isMoved
        ? [`on this host: give it port ${port}, for which its PostgreSQL is stopped and started`]
        : []),
    ],
  };
}

/**
 * A database that was cut over stays, and may be where the next copy would be: that is found before anything is forgotten. Throws what
 * begins a copy, `target-not-empty` above all.
 */
async function assertMayBeginAgain(
  order: FollowOrder,
  before: FollowState,
  system: System,
  view: ProgressView,
): Promise<void> {
  if (!(await isPromoted(before, system))) return;
  try {
    await prepareFollow({ ...again(order, before), dryRun: true }, undefined, system, view);
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code !== "target-not-empty") throw error;
    throw new MigrationError(
      error.code,
      `the copy of the database of ${before.serverName} was cut over: synlift does not delete it, and another one cannot be made in its place: ${error.message}`,
      {
        hint: `nothing was changed. If nobody needs that database any more, remove it first; otherwise: ${error.hint ?? "choose another place"}`,
        cause: error,
      },
    );
  }
}

/** The order for another copy like the one that there was, where it does not say otherwise. */
function again(order: FollowOrder, { old, here, road, stage }: FollowState): FollowOrder {
  const same = { ...order, old: order.old ?? old, road: order.road ?? road };
  if (here.kind === "standby") {
    const { place } = order;
    const isMoved = place.cluster !== undefined || place.dataDir !== undefined;
    return {
      ...same,
      place: {
        ...place,
        ...(isMoved ? {} : { cluster: here.cluster?.name, dataDir: here.data }),
        // One that was cut over has its port still.
        port: place.port ?? (stage === "detached" || stage === "done" ? undefined : here.port),
      },
    };
  }
  return { ...same, logical: order.logical ?? placeOf(here) };
}
