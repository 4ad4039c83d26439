import type { Finding } from "../../../report/finding.ts";
import type { Homeserver, Listener } from "../../homeserver.ts";
import { findSettings, isMapping, settingAt } from "../../settings.ts";
import { LEFT_ALONE } from "../host-bound.ts";

/** Settings that name something of this host or of its network: what a restore rewrites, and what is left for a person. */
export function hostFindings(homeserver: Homeserver): Finding[] {
  return [
    listenerFinding(homeserver),
    rewritten(homeserver),
    ...leftAlone(homeserver),
    ...daemon(homeserver),
  ];
}

function listenerFinding({ listeners }: Homeserver): Finding {
  const id = "listeners";
  if (listeners.length === 0) {
    return {
      id,
      level: "note",
      sentence: "the configuration has no listeners, so the main process answers nobody",
      hint: "if workers or an older setting (bind_port) do that, look at them on the new host",
    };
  }
  const tls = listeners.some((listener) => listener.tls);
  const evidence = listeners.map(listenerText);
  const sentence = `Synapse listens ${listeners.length === 1 ? "in one place" : `in ${listeners.length} places`}`;
  if (!tls) return { id, level: "ok", sentence, evidence };
  return {
    id,
    level: "note",
    sentence: `${sentence}, with a certificate of its own`,
    evidence,
    hint: "certificate and key travel; have whatever renews them set up on the new host too",
  };
}

function listenerText({ port, path, addresses, tls, resources }: Listener): string {
  const where = port === undefined ? (path ?? "nowhere") : `port ${port} on ${addresses.join(" and ")}`;
  return `${where}${tls ? ", with TLS" : ""}: ${resources.length > 0 ? resources.join(", ") : "no HTTP"}`;
}

/** In the order of `hostBound`, which does it. */
function rewritten({ settings, database, referenced }: Homeserver): Finding {
  const split = database.kind === "postgres" && database.state !== undefined;
  const old = settings["database_path"] ? "database_path" : split ? "databases.*.args" : "database.args";
  const names = [
    ...(database.kind === "several" ? [] : [old]),
    "media_store_path",
    ...new Set(referenced.map(({ setting }) => setting).filter((name) => !name.startsWith("database"))),
    ...(settings["pid_file"] === undefined ? [] : ["pid_file"]),
  ];
  return {
    id: "host-rewritten",
    level: "note",
    sentence: `${names.length} settings name places of this host, and restore writes them anew for the other`,
    evidence: names,
    hint: "nothing is to be done here: restore shows each change before it makes it with --dry-run",
  };
}

/** What else is often on the same host or in its network. */
const NEIGHBOURS = [
  ...LEFT_ALONE,
  "redis.host",
  "instance_map.*.host",
  "email.smtp_host",
  "turn_uris[*]",
  "http_proxy",
  "https_proxy",
  "matrix_authentication_service.endpoint",
  "oidc_providers[*].issuer",
  "cas_config.server_url",
  "ip_range_whitelist[*]",
  "ip_range_allowlist[*]",
];

function leftAlone({ settings }: Homeserver): Finding[] {
  const found = NEIGHBOURS.flatMap((pattern) => findSettings(settings, pattern)).map(
    ({ setting, value }) => `${setting}: ${typeof value === "string" ? withoutPassword(value) : "(set)"}`,
  );
  if (found.length === 0) return [];
  return [
    {
      id: "host-left",
      level: "note",
      sentence: `${found.length} ${found.length === 1 ? "setting names a neighbour" : "settings name neighbours"} of this host and must be looked at on the new one`,
      evidence: found,
      hint: "restore leaves them as they are: see that the new host reaches each of them, or change them there before it is opened",
    },
  ];
}

/** Addresses may hold a name and a password: http://name:password@proxy. */
const withoutPassword = (value: string) =>
  value.replace(/\/\/[^/@\s]*@/, "//").replace(/^[^/@\s]+:[^/@\s]+@/, "");

function daemon({ settings }: Homeserver): Finding[] {
  const on = ["daemonize", "worker_daemonize"].filter((name) => settings[name] === true);
  if (on.length === 0) return [];
  return [
    {
      id: "daemonize",
      level: "note",
      sentence: `${on.join(" and ")} is on: Synapse goes into the background by itself`,
      hint: "with systemd or in a container on the new host it must be off there, or the server is taken for ended",
    },
  ];
}

/** `matrix_authentication_service` in a configuration, if it is used. */
export function authenticationService(settings: Homeserver["settings"]): string | undefined {
  const block = settings["matrix_authentication_service"];
  if (!isMapping(block) || block["enabled"] !== true) return undefined;
  const endpoint = settingAt(settings, "matrix_authentication_service.endpoint");
  return typeof endpoint === "string" ? withoutPassword(endpoint) : "http://localhost:8080";
}
