import type { Finding } from "../../report/finding.ts";
import { type Between, removedFromWorker } from "../config/checks/removed-settings.ts";
import type { Homeserver } from "../homeserver.ts";
import { isMapping, settingAt } from "../settings.ts";
import { isSince } from "../synapse-versions.ts";
import type { FoundWorkers, Worker } from "./find/workers.ts";

/** What a move must know of the workers. Shows no secret. */
export function inspectWorkers(
  homeserver: Homeserver,
  { workers, unknown }: FoundWorkers,
  between: Between = {},
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
    sentence: `${workers.length} ${workers.length === 1 ? "worker runs" : "workers run"} beside the main process, and ${workers.length === 1 ? "its file does" : "their files do"} not travel`,
    evidence: workers.map(
      ({ name, configPath, settings, isRunning }) =>
        `${name}${appOf(settings)}: ${configPath ?? "no file of its own"}${isRunning ? ", running" : ""}`,
    ),
    hint: "stop all of them for the move; copy their files and units to the new host by hand and adapt their ports, or take instance_map, stream_writers and what else names them out there and begin without",
  };
}

function appOf(settings: Worker["settings"]): string {
  const app = settings?.["worker_app"];
  return typeof app === "string" ? ` (${app.replace(/^synapse\.app\./, "")})` : "";
}

const missing = (unknown: readonly string[]): Finding => ({
  id: "worker-missing",
  level: "warning",
  sentence: `the settings give work to ${unknown.join(", ")}, of which nothing on this host tells`,
  hint: "see where these workers run: on another host they must be stopped too, and their work is not done on the new one until they are there",
});

function fileFindings({ name, configPath, settings }: Worker, between: Between): Finding[] {
  if (configPath === undefined) return [];
  if (settings !== undefined) return removedFromWorker(settings, configPath, between);
  return [
    {
      id: `worker-file:${name}`,
      level: "warning",
      sentence: `the file of the worker ${name} cannot be read: ${configPath}`,
      hint: "run synlift as root, or see whether the file is there and is YAML",
    },
  ];
}

/** In the shared configuration: what workers do not run or are not safe without. */
function sharedFindings({ settings, secrets }: Homeserver, { target }: Between): Finding[] {
  const findings: Finding[] = [];
  if (!secrets.some(({ setting }) => setting === "worker_replication_secret")) {
    findings.push({
      id: "worker-secret",
      level: "warning",
      sentence:
        "worker_replication_secret is not set: whoever reaches the port for replication may speak for the server",
      hint: "see that only the workers reach that port on the new host, or set the same secret for all processes",
    });
  }
  if (settingAt(settings, "redis.enabled") !== true) {
    findings.push({
      id: "worker-redis",
      level: "warning",
      sentence: "there are workers, but redis is not set up, through which they talk with the main process",
      hint: "workers without redis stopped working with Synapse 1.67: see whether these really run",
    });
  }
  const map = settings["instance_map"];
  const since = "1.88";
  if (!(isMapping(map) && "main" in map) && (!target || isSince(target, since))) {
    findings.push({
      id: "worker-map",
      level: "warning",
      sentence: `instance_map has no main, without which workers of Synapse ${since} and later do not start`,
      hint: "put main with its host and port into instance_map of the shared configuration",
    });
  }
  return findings;
}
