import type { Listener, Settings } from "../homeserver.ts";
import { isMapping } from "../settings.ts";

/** The `listeners`, read as synapse/config/server.py (`parse_listener_def`) does. What is wrong goes into `faults`. */
export function listenersOf(settings: Settings, faults: string[]): Listener[] {
  const { listeners = [] } = settings;
  if (!Array.isArray(listeners)) {
    faults.push("listeners is not a list");
    return [];
  }
  return listeners.flatMap((entry: unknown, position) => {
    const { port, path } = isMapping(entry) ? entry : {};
    if (isMapping(entry) && (typeof port === "number" || typeof path === "string"))
      return [listenerOf(entry)];
    faults.push(`listeners[${position}] has neither a port nor a path`);
    return [];
  });
}

function listenerOf(entry: Record<string, unknown>): Listener {
  const { port, path, tls, bind_addresses: several, bind_address: single, resources } = entry;
  const addresses = [...texts(several), ...texts([single])];
  // Synapse's own defaults where a port is given without an address.
  const everywhere = entry["type"] === "metrics" ? ["0.0.0.0"] : ["::", "0.0.0.0"];
  return {
    ...(typeof port === "number" ? { port } : {}),
    ...(typeof path === "string" ? { path } : {}),
    addresses: typeof port === "number" && addresses.length === 0 ? everywhere : addresses,
    tls: tls === true,
    resources: Array.isArray(resources)
      ? resources.flatMap((resource) => texts(isMapping(resource) ? resource["names"] : []))
      : [],
  };
}

function texts(value: unknown): string[] {
  const items: unknown[] = Array.isArray(value) ? value : [];
  return items.filter((item) => typeof item === "string" && item !== "") as string[];
}
