import { Interrupted, MigrationError } from "../../errors.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { formatDuration } from "../../report/units.ts";
import type { System } from "../../system/system.ts";
import { type CopyHere, copyHere } from "./copy-here.ts";
import { lostCopy } from "./ended.ts";
import { liveState } from "./live-text.ts";
import type { MediaBeside } from "./media/beside.ts";
import type { FollowState } from "./state.ts";
import { connectToOld, openTunnel } from "./tunnel.ts";
import { type Followed, isLost, type Watch } from "./watch.ts";

/** Milliseconds between two looks at both servers. */
const LOOK_MS = 2000;
/** Milliseconds until a connection that was lost is tried again, at first and at most. */
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;
/** A way that held for so long was a good one: the waits begin anew. */
const GOOD_MS = 30_000;

export interface Following {
  readonly state: FollowState;
  readonly configDir: string;
  /** Ends as soon as the copy has everything that the old server had written when this run began to look, and a pass over the media has ended. */
  readonly untilCaughtUp: boolean;
  /** What is copied beside the database, by itself. */
  readonly media?: Pick<MediaBeside, "record" | "hasEnded"> | undefined;
}

/** How it ended: it was asked to stop, or has caught up. `last` is what was seen last. */
export interface FollowedUntil {
  readonly ended: "signal" | "caught-up";
  readonly last: Followed | undefined;
}

/**
 * Keeps the way to the old host open, and shows how the copy is, until the run is asked to stop. Connections that are lost are made
 * again, with growing waits; a standby's server is started again when it has ended. Throws `follow-lost` when the old server has given
 * the copy up, and `already-opened` when the copy was promoted.
 */
export async function keepFollowing(
  following: Following,
  system: System,
  view: ProgressView,
): Promise<FollowedUntil> {
  const { machine, signal } = system;
  const copy = copyHere(following.state, system, view);
  let last: Followed | undefined;
  let wait = FIRST_WAIT_MS;
  try {
    for (;;) {
      const began = machine.elapsed();
      try {
        const isDone = await followOnce(following, copy, system, (now) => {
          last = now;
          view.live(liveState(now, following.media?.record));
        });
        if (isDone) return { ended: "caught-up", last };
      } catch (error) {
        signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        view.live(undefined);
        if (machine.elapsed() - began > GOOD_MS) wait = FIRST_WAIT_MS;
        view.note(`${error.message}; tried again in ${formatDuration(wait / 1000)}`);
      }
      await machine.wait(wait, signal);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  } catch (error) {
    if (error instanceof Interrupted) return { ended: "signal", last };
    throw error;
  } finally {
    view.live(undefined);
  }
}

/** What a later attempt may find otherwise: a host or a server that does not answer, and a disk on which there is room again. */
const PASSING = new Set([
  "connection-failed",
  "database-unreachable",
  "start-failed",
  "program-failed",
  "disk-full",
]);
const isPassing = (error: unknown): error is MigrationError =>
  error instanceof MigrationError && PASSING.has(error.code);

/** Follows as long as the way holds. True when it has caught up and that was asked for. */
async function followOnce(
  { state, configDir, untilCaughtUp, media }: Following,
  copy: CopyHere,
  system: System,
  tell: (now: Followed) => void,
): Promise<boolean> {
  const { machine, signal } = system;
  await copy.start();
  const tunnel = await openTunnel(state, configDir, await copy.account(), system);
  try {
    const session = await connectToOld(state, configDir, system);
    let watch: Watch | undefined;
    try {
      await copy.keepUp(session);
      watch = await copy.watch(session);
      for (let goal: number | undefined; ;) {
        const now = await watch.look();
        goal ??= now.writtenBytes;
        if (isLost(now)) throw await lostCopy(state, now, system);
        tell(now);
        // People write all the time: it would hardly ever have everything of this moment.
        if (untilCaughtUp && hasUpTo(goal, now) && media?.hasEnded !== false) return true;
        // Between two looks it does not matter which of the two has ended: the next attempt begins with both.
        if (tunnel.isOver) throw await tunnel.ended;
        await machine.wait(LOOK_MS, signal);
      }
    } finally {
      await watch?.close();
      await session.close();
    }
  } catch (error) {
    // Whatever failed then, ssh knows why.
    if (tunnel.isOver && isPassing(error)) throw await tunnel.ended;
    throw error;
  } finally {
    await tunnel.close();
  }
}

const hasUpTo = (goal: number, { connected, writtenBytes, lagBytes }: Followed) =>
  connected && lagBytes !== null && writtenBytes - lagBytes >= goal;
