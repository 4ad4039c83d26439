import type { Homeserver } from "../../homeserver/homeserver.ts";
import { inspectSupervisor } from "../../homeserver/service/inspect-supervisor.ts";
import { findActivity } from "../../homeserver/service/inspect.ts";
import { findSupervisor } from "../../homeserver/service/supervisor.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import type { Source } from "./questions.ts";

export interface ServiceLook {
  readonly running: boolean;
  /** It runs, and no way to stop it was found on this host. */
  readonly stoppedByHand: boolean;
  readonly findings: readonly Finding[];
}

/** Whether the server runs, and what will stop it for the move. */
export async function lookAtService(
  { homeserver, launch, launches }: Source,
  system: System,
): Promise<ServiceLook> {
  const running = (await findActivity(homeserver, system)).length > 0;
  const findings = [runningFinding(homeserver, running)];
  if (!running) return { running, stoppedByHand: false, findings };
  const supervisor = await findSupervisor(NOTHING_GIVEN, homeserver, { launch, launches }, system);
  const stoppedByHand = supervisor.kind === "person";
  return { running, stoppedByHand, findings: [...findings, inspectSupervisor(homeserver, supervisor)] };
}

/** `plan` has no options for this; `export` has. */
const NOTHING_GIVEN = { unit: [], container: [] };

function runningFinding({ serverName }: Homeserver, running: boolean): Finding {
  return running
    ? { id: "service", level: "ok", sentence: `${serverName} runs on this host` }
    : {
        id: "service",
        level: "note",
        sentence: `${serverName} is not running on this host: this plan lacks what only a running server can report`,
      };
}
