import type { LiveState } from "../../report/progress-view.ts";
import { formatBytes, formatDuration } from "../../report/units.ts";
import type { MediaRecord } from "./media/record.ts";
import type { Followed } from "./watch.ts";

/** One line about a copy that follows, and the media beside it. */
export function liveState(followed: Followed, media?: MediaRecord): LiveState {
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
    media ? mediaState(media) : undefined,
  ];
  return {
    sentence: parts.filter((part) => part !== undefined).join(" · "),
    details: { ...followedDetails(followed), media: media ? mediaDetails(media) : null },
  };
}

/** How the media beside it are, in some words. */
export function mediaState({ running, failed, last }: MediaRecord): string {
  if (running?.toCome) {
    const { came, toCome } = running;
    if (toCome.files > 0)
      return `media: ${formatBytes(came.bytes)} of ${formatBytes(Math.max(toCome.bytes, came.bytes))} have come`;
  }
  if (running && !last) return "media: compared with the old host";
  if (failed) return `media could not be copied on ${failed.at}`;
  return last ? `media as of ${last.at}` : "media are not copied yet";
}

/** For scripts. `running` is also that of a pass that was killed, as long as nobody has begun another one. */
export const mediaDetails = ({ dir, every, paused, last, running, failed }: MediaRecord) => ({
  dir,
  every,
  paused,
  last: last && { at: last.at, here: { ...last.here }, came: { ...last.came }, all: { ...last.all } },
  running: running && {
    since: running.since,
    came: { ...running.came },
    toCome: running.toCome && { ...running.toCome },
  },
  failed: failed && { at: failed.at, code: failed.code, message: failed.message },
});

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
