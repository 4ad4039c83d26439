import type { Channel } from "../../pipeline/channel.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { silent } from "../../system/progress.ts";
import type { FromOld } from "./protocol.ts";

/** Reports progress on the new host, where the person is, instead of here. That host measures the streams itself. */
export function toldThere(channel: Channel): ProgressView {
  const say = (message: FromOld["note"] | FromOld["remark"] | FromOld["outage"]) => {
    // A broken connection is detected by the next message.
    channel.say(message).catch(() => undefined);
  };
  return {
    ...silent,
    remark: ({ id, label }, why) => {
      say({ type: "remark", id, label, why });
    },
    note: (sentence) => {
      say({ type: "note", sentence });
    },
    outage: (since) => {
      if (since !== undefined) say({ type: "outage", since: new Date(since).toISOString() });
    },
    stop: () => undefined,
  };
}
