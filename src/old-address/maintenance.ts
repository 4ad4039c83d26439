import type { Behaviour } from "../proxies/answer.ts";
import { matrixError, PREFLIGHT } from "./cors.ts";
import { folderOf, otherwise, type Untouched, untouchedRules } from "./untouched.ts";

export interface MaintenanceOrder {
  /** Seconds after which clients and servers should ask again. */
  readonly retryAfter: number;
  /** What people may see; one sentence. */
  readonly message: string;
  readonly untouched: Untouched;
}

/**
 * While the homeserver is down: 503, which clients and servers take for a failure that passes. Never 401, which ends
 * sessions and makes clients discard their keys.
 */
export function maintenanceBehaviour({ retryAfter, message, untouched }: MaintenanceOrder): Behaviour {
  return {
    folder: folderOf(untouched),
    rules: [
      ...untouchedRules(untouched),
      {
        name: "maintenance",
        why: [
          "The homeserver is down for a while: clients keep their sessions and try again.",
          "Never 401 here: it would end sessions, and clients would discard their message keys.",
          "Web clients see an answer only with these headers, on every status and method.",
        ],
        paths: ["/_matrix/**", "/_synapse/**"],
        byMethod: [PREFLIGHT],
        then: matrixError(503, { errcode: "M_UNKNOWN", error: message }, { "Retry-After": `${retryAfter}` }),
      },
    ],
    otherwise: otherwise(untouched),
  };
}
