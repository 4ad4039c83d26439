import type { Finding } from "../../report/finding.ts";
import type { Machine } from "../../system/machine.ts";
import type { Listener } from "../homeserver.ts";

/**
 * Whether the main process of a server that does not run could listen where its configuration says: a port that something else uses ends
 * its start. Tries it, and changes nothing. No finding for a server without a port or socket.
 */
export async function listenerPorts(
  listeners: readonly Listener[],
  ifTaken: "blocker" | "warning",
  machine: Pick<Machine, "tryToListen" | "usersOfPort">,
): Promise<Finding[]> {
  const id = "listener-ports";
  const places = listeners.flatMap(placesOf);
  if (places.length === 0) return [];
  const faults: string[] = [];
  for (const at of places) {
    const fault = await machine.tryToListen(at);
    if (fault === "in-use") faults.push("path" in at ? `a server answers at ${at.path}` : inUse(at, machine));
    if (fault === "not-here" && "address" in at)
      faults.push(`this host has no address ${at.address}, on which port ${at.port} is to be`);
  }
  if (faults.length === 0)
    return [{ id, level: "ok", sentence: "nothing else uses the ports on which the server will listen" }];
  return [
    {
      id,
      level: ifTaken,
      sentence: "the server could not start: it cannot listen where its configuration says",
      evidence: [...new Set(faults)],
      hint: "end what uses the port, or change the listeners in the restored configuration",
    },
  ];
}

type Place = { readonly address: string; readonly port: number } | { readonly path: string };

/** Of "::" and "0.0.0.0", Synapse needs only the first, which is both on Linux (synapse/app/__init__.py, `check_bind_error`). */
function placesOf({ port, path, addresses }: Listener): Place[] {
  if (port === undefined) return path === undefined ? [] : [{ path }];
  const needed = addresses.includes("::") ? addresses.filter((one) => one !== "0.0.0.0") : addresses;
  return needed.map((address) => ({ address, port }));
}

function inUse(
  { address, port }: { readonly address: string; readonly port: number },
  machine: Pick<Machine, "usersOfPort">,
): string {
  const users = machine
    .usersOfPort(port)
    .map(({ pid, program }) => `${program || "a program"}, process ${pid}`);
  return `port ${port} on ${address} is in use${users.length === 0 ? "" : ` by ${users.join(" and ")}`}`;
}
