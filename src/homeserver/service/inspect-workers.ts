import type { Finding } from "../../report/finding.ts";
import { type MoveVersions, removedFromWorker } from "../config/checks/removed-settings.ts";
import type { Homeserver } from "../homeserver.ts";
import { isMapping, settingAt } from "../settings.ts";
import { isSince } from "../synapse-versions.ts";
import type { FoundWorkers, Worker } from "./find/workers.ts";

/** Findings about the workers. They contain no secret. */
export function inspectWorkers(
  homeserver: Homeserver,
  { workers, unknown }: FoundWorkers,
  between: MoveVersions = {},
): Finding[] {
  if (workers.length === 0 && unknown.length === 0)
    return [{ id: "workers", level: "ok", sentence: "the server is one process, without workers" }];
  return [
    ...(workers.length > 0 ? [listed(workers)] : []),
    ...(unknown.length > 0 ? [missing(unknown)] : []),
    ...workers.flatMap((worker) => fileFindings(worker, between)),
    ...sharedFindings(homeserver, between),
  ];
}

function listed(workers: readonly Worker[]): Finding {
  return {
    id: "workers",
    level: "warning",
    sentence: `${workers.length} ${workers.length === 1 ? "worker runs" : "workers run"} beside the main process, and ${workers.length === 1 ? "its file is" : "their files are"} not moved`,
    evidence: workers.map(
      ({ name, configPath, settings, isRunning }) =>
        `${name}${appOf(settings)}: ${configPath ?? "no file of its own"}${isRunning ? ", running" : ""}`,
    ),
    hint: "stop all of them for the move; copy their files and units to the new host yourself and adapt their ports, or remove instance_map, stream_writers and other settings that name them there, and start without workers",
  };
}

function appOf(settings: Worker["settings"]): string {
  const app = settings?.["worker_app"];
  return typeof app === "string" ? ` (${app.replace(/^synapse\.app\./, "")})` : "";
}

const missing = (unknown: readonly string[]): Finding => ({
  id: "worker-missing",
  level: "warning",
  sentence: `the settings assign work to ${unknown.join(", ")}, which was not found on this host`,
  hint: "find out where these workers run: on another host they must be stopped too, and the new server needs them before that work is done",
});

function fileFindings({ name, configPath, settings }: Worker, between: MoveVersions): Finding[] {
  if (configPath === undefined) return [];
  if (settings !== undefined) return removedFromWorker(settings, configPath, between);
  return [
    {
      id: `worker-file:${name}`,
      level: "warning",
      sentence: `the file of the worker ${name} cannot be read: ${configPath}`,
      hint: "run synlift as root, or check that the file exists and is valid YAML",
    },
  ];
}

/** Settings of the shared configuration that workers need to run, and to be secure. */
function sharedFindings({ settings, secrets }: Homeserver, { target }: MoveVersions): Finding[] {
  const findings: Finding[] = [];
  if (!secrets.some(({ setting }) => setting === "worker_replication_secret")) {
    findings.push({
      id: "worker-secret",
      level: "warning",
      sentence:
        "worker_replication_secret is not set: anyone who can connect to the replication port can act as the server",
      hint: "make sure that only workers can connect to that port on the new host, or set the same secret for all processes",
    });
  }
  if (settingAt(settings, "redis.enabled") !== true) {
    findings.push({
      id: "worker-redis",
      level: "warning",
      sentence:
        "there are workers, but Redis, through which they communicate with the main process, is not enabled",
      hint: "workers require Redis since Synapse 1.67: check whether these really run",
    });
  }
  const map = settings["instance_map"];
  const since = "1.88";
  if (!(isMapping(map) && "main" in map) && (!target || isSince(target, since))) {
    findings.push({
      id: "worker-instance-map",
      level: "warning",
      sentence: `instance_map has no entry for main, without which workers of Synapse ${since} and later do not start`,
      hint: "add main with its host and port to instance_map in the shared configuration",
    });
  }
  return findings;
}
