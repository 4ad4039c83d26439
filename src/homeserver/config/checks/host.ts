import type { Finding } from "../../../report/finding.ts";
import type { Homeserver, Listener } from "../../homeserver.ts";
import { localUrlsOf } from "../../listeners.ts";
import { findSettings, isMapping, settingAt } from "../../settings.ts";
import { NOT_REWRITTEN } from "../host-changes.ts";

/** Settings that name something on this host or in its network: those that restore rewrites, and those that a person must check. */
export function hostFindings(homeserver: Homeserver): Finding[] {
  return [
    listenerFinding(homeserver),
    rewrittenFinding(homeserver),
    ...externalAddressFindings(homeserver),
    ...daemonizeFindings(homeserver),
  ];
}

function listenerFinding({ listeners }: Homeserver): Finding {
  const id = "listeners";
  if (listeners.length === 0) {
    return {
      id,
      level: "note",
      sentence: "the configuration has no listeners, so the main process accepts no connections",
      hint: "if workers or an older setting (bind_port) listen instead, check them on the new host",
    };
  }
  const [url] = localUrlsOf(listeners);
  const tls = listeners.some((listener) => listener.tls);
  const evidence = listeners.map(listenerText);
  const sentence = `Synapse has ${listeners.length === 1 ? "one listener" : `${listeners.length} listeners`}`;
  if (url === undefined) {
    return {
      id,
      level: "warning",
      sentence: `${sentence}, and none for HTTP: open cannot ask the started server whether it is the old one`,
      evidence,
      hint: "give open the address of a worker that answers clients: --url http://127.0.0.1:8083",
    };
  }
  const asked = url.startsWith("https:")
    ? "; open asks it at this host's address, and knows it by its signing key"
    : url.startsWith("http+unix:")
      ? "; open asks it at its unix socket"
      : "";
  if (!tls) return { id, level: "ok", sentence: `${sentence}${asked}`, evidence };
  return {
    id,
    level: "note",
    sentence: `${sentence}, with a certificate of its own${asked}`,
    evidence,
    hint: "certificate and key are in the bundle; set up their renewal on the new host too",
  };
}

function listenerText({ port, path, addresses, tls, resources }: Listener): string {
  const where = port === undefined ? (path ?? "nowhere") : `port ${port} on ${addresses.join(" and ")}`;
  return `${where}${tls ? ", with TLS" : ""}: ${resources.length > 0 ? resources.join(", ") : "no HTTP"}`;
}

/** In the order in which restore rewrites them. */
function rewrittenFinding({ settings, database, referenced }: Homeserver): Finding {
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
    sentence: `${names.length} settings name paths or addresses of this host, and restore rewrites them for the new host`,
    evidence: names,
    hint: "no action is needed: restore --dry-run shows each change",
  };
}

/** Settings that name other services, which are often on the same host or in its network. */
const EXTERNAL_SETTINGS = [
  ...NOT_REWRITTEN,
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

function externalAddressFindings({ settings }: Homeserver): Finding[] {
  const found = EXTERNAL_SETTINGS.flatMap((pattern) => findSettings(settings, pattern)).map(
    ({ setting, value }) => `${setting}: ${typeof value === "string" ? withoutPassword(value) : "(set)"}`,
  );
  if (found.length === 0) return [];
  return [
    {
      id: "host-addresses",
      level: "note",
      sentence: `${found.length} ${found.length === 1 ? "setting names" : "settings name"} another service or path of this host and must be checked on the new one`,
      evidence: found,
      hint: "restore does not change them: check that the new host reaches each of them, or change them there before the server is opened",
    },
  ];
}

/** Addresses may hold a name and a password: http://name:password@proxy. */
const withoutPassword = (value: string) =>
  value.replace(/\/\/[^/@\s]*@/, "//").replace(/^[^/@\s]+:[^/@\s]+@/, "");

function daemonizeFindings({ settings }: Homeserver): Finding[] {
  const on = ["daemonize", "worker_daemonize"].filter((name) => settings[name] === true);
  if (on.length === 0) return [];
  return [
    {
      id: "daemonize",
      level: "note",
      sentence: `${on.join(" and ")} is on: Synapse daemonizes itself`,
      hint: "with systemd or in a container on the new host it must be off, or the supervisor believes that the server has exited",
    },
  ];
}

/** `matrix_authentication_service` in a configuration, if it is used. */
export function masEndpoint(settings: Homeserver["settings"]): string | undefined {
  const block = settings["matrix_authentication_service"];
  if (!isMapping(block) || block["enabled"] !== true) return undefined;
  const endpoint = settingAt(settings, "matrix_authentication_service.endpoint");
  return typeof endpoint === "string" ? withoutPassword(endpoint) : "http://localhost:8080";
}
