import { MigrationError } from "../../../errors.ts";
import type { MediaCount } from "../../../homeserver/media/pack/existing.ts";
import type { FollowAnswers } from "../protocol.ts";
import type { MediaRecord } from "./record.ts";
import { describeMedia } from "./settle.ts";

/** The media that will be copied beside the database. */
export interface MediaPlan {
  readonly record: MediaRecord;
  /** All that there is on the old host. */
  readonly all: MediaCount;
  /** Bytes of it that are not here. */
  readonly toCome: number;
}

/** Throws `target-not-empty` where the folder has the media of another server. */
export function mediaPlanOf(
  record: MediaRecord,
  { subject, media: all = { files: 0, bytes: 0 } }: FollowAnswers["facts"],
): MediaPlan {
  if (record.serverName !== "" && record.serverName !== subject)
    throw new MigrationError(
      "target-not-empty",
      `${record.dir} has media of ${record.serverName}, which an earlier synlift follow has copied, and this is ${subject}`,
      { hint: "synlift follow stop takes them away" },
    );
  return {
    record: { ...record, serverName: subject },
    all,
    toCome: Math.max(0, all.bytes - (record.last?.here.bytes ?? 0)),
  };
}

/** What is said of them before it is begun, a line each. */
export const mediaLines = (media: MediaPlan | undefined): string[] =>
  media && !media.record.paused
    ? [describeMedia(media.record, media.all)]
    : ["media are not copied beside it: pull --followed copies them before it stops the old server"];
