import type { LiveState } from "../../report/progress-view.ts";
import { formatBytes, formatDuration } from "../../report/units.ts";
import type { Followed } from "./watch.ts";

/** One line about a copy that follows. */
export function liveState(followed: Followed): LiveState {
  const { lagBytes, lagSeconds, heldBytes, roomBytes, connected, freeBytes } = followed;
  const behind =
    lagBytes === null
      ? "the copy has not begun to follow"
      : lagBytes === 0
        ? "the copy has everything"
        : `the copy is ${formatBytes(lagBytes)}${lagSeconds === null ? "" : ` (${formatDuration(lagSeconds)})`} behind`;
  const parts = [
    connected ? behind : `${behind}; not connected to the old server`,
    heldBytes === null
      ? undefined
      : `the old server keeps ${formatBytes(Math.max(0, heldBytes))} of its log for it`,
    roomBytes === null ? undefined : `${formatBytes(Math.max(0, roomBytes))} more until it gives the copy up`,
    `${formatBytes(freeBytes)} free here`,
  ];
  return {
    sentence: parts.filter((part) => part !== undefined).join(" · "),
    details: followedDetails(followed),
  };
}

/** For scripts. */
export const followedDetails = ({
  lagBytes,
  lagSeconds,
  heldBytes,
  roomBytes,
  slot,
  connected,
  freeBytes,
}: Followed) => ({ lagBytes, lagSeconds, heldBytes, roomBytes, slot, connected, freeBytes });
