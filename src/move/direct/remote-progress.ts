import type { Channel } from "../../pipeline/channel.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { silent } from "../../system/progress.ts";
import type { FromOld } from "./protocol.ts";

/** Tells the other host, where somebody looks, what would be told here. How far a stream has come is seen there anyway. */
export function toldThere(channel: Channel): ProgressView {
  const say = (message: FromOld["note"] | FromOld["remark"] | FromOld["outage"]) => {
    // A connection that broke is found out by what is sent next.
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
