import type { Finding } from "../../report/finding.ts";
import type { Homeserver } from "../homeserver.ts";
import { type Keeper, stopWords } from "./keeper.ts";

/** Who will stop a server that runs. Where nothing on the host can, that is found out while there is time. */
export function inspectKeeper({ serverName }: Homeserver, keeper: Keeper): Finding {
  if (keeper.kind !== "person")
    return {
      id: "stop",
      level: "ok",
      sentence: `export can stop ${serverName} by itself: ${stopWords(keeper)}`,
    };
  return {
    id: "stop",
    level: "note",
    sentence: `nothing on this host can stop ${serverName}: no unit, container or synctl that started it is known`,
    hint: "stop it yourself when export asks you to, at a terminal; or give export the --unit or --container that runs it, or --stop-command, with --start-command so that rollback can start it again",
  };
}
