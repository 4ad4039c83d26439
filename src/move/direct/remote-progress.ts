import type { Channel } from "../../pipeline/channel.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { noProgress } from "../../system/progress.ts";
import type { OldHostMessages } from "./protocol.ts";

/** Reports progress on the new host, where the person is, instead of here. That host measures the streams itself. */
export function remoteProgress(channel: Channel): ProgressView {
  const say = (message: OldHostMessages["note"] | OldHostMessages["remark"] | OldHostMessages["outage"]) => {
    // A broken connection is detected by the next message.
    channel.sendMessage(message).catch(() => undefined);
  };
  return {
    ...noProgress,
    remark: ({ id, label }, why) => {
      say({ type: "remark", id, label, why });
    },
    note: (sentence) => {
      say({ type: "note", sentence });
    },
    outage: (since) => {
      if (since !== undefined) say({ type: "outage", since: new Date(since).toISOString() });
    },
    live: () => undefined,
    stop: () => undefined,
  };
}
