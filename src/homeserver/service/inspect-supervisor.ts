import type { Finding } from "../../report/finding.ts";
import type { Homeserver } from "../homeserver.ts";
import { describeStop, type Supervisor } from "./supervisor.ts";

/** What will stop a running server. When nothing on the host can, that is found before the move. */
export function inspectSupervisor({ serverName }: Homeserver, supervisor: Supervisor): Finding {
  if (supervisor.kind !== "person")
    return {
      id: "supervisor",
      level: "ok",
      sentence: `export can stop ${serverName}: ${describeStop(supervisor)}`,
    };
  return {
    id: "supervisor",
    level: "note",
    sentence: `no way to stop ${serverName} was found on this host: no unit, container or synctl that started it`,
    hint: "stop it yourself when export asks you to, at a terminal; or give export the --unit or --container that runs it, or --stop-command, with --start-command so that rollback can start it again",
  };
}
