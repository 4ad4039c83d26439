import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { basename } from "node:path";

/** Where a server listens: a port of an address of this host, or a Unix socket. */
export type Endpoint = { readonly address: string; readonly port: number } | { readonly path: string };

/** Why a server cannot listen there. "not-here": this host has no such address. */
export type ListenFault = "in-use" | "not-here" | "not-permitted";

/** A process that listens. */
export interface PortUser {
  readonly pid: number;
  /** The program's name, without its arguments; empty when unknown. */
  readonly program: string;
}

const FAULTS: Readonly<Record<string, ListenFault>> = {
  EADDRINUSE: "in-use",
  EADDRNOTAVAIL: "not-here",
  EAFNOSUPPORT: "not-here",
  ENOTFOUND: "not-here",
  EACCES: "not-permitted",
  EPERM: "not-permitted",
};

/**
 * Listens there for a moment; undefined when that works. Of a Unix socket it is asked whether a server answers: a file that an ended
 * server has left is in nobody's way.
 */
export const tryToListen = (at: Endpoint): Promise<ListenFault | undefined> =>
  "path" in at ? answersAt(at.path) : listenAt(at);

function listenAt({ address, port }: { address: string; port: number }): Promise<ListenFault | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      const fault = FAULTS[error.code ?? ""];
      if (fault) resolve(fault);
      else reject(error);
    });
    server.listen({ host: address, port, exclusive: true }, () => {
      server.close(() => {
        resolve(undefined);
      });
    });
  });
}

function answersAt(path: string): Promise<ListenFault | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve("in-use");
    });
    socket.once("error", ({ code }: NodeJS.ErrnoException) => {
      resolve(code === "EACCES" ? "not-permitted" : undefined);
    });
  });
}

/** The processes that listen on a port of this host, whatever the address, as far as they may be seen. */
export function usersOfPort(port: number): PortUser[] {
  const sockets = new Set(
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) =>
      listeningSockets(optional(() => readFileSync(table, "utf8")) ?? "", port),
    ),
  );
  if (sockets.size === 0) return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && hasOpen(name, sockets))
    .map((pid) => ({ pid: Number(pid), program: programOf(pid) }));
}

/** proc(5), /proc/net/tcp: the second field is ADDRESS:PORT in hexadecimal, the fourth the state, 0A for one that listens, the tenth the inode. */
export function listeningSockets(table: string, port: number): string[] {
  const end = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    return state === "0A" && local.endsWith(end) ? [`socket:[${inode}]`] : [];
  });
}

function hasOpen(pid: string, sockets: ReadonlySet<string>): boolean {
  const folder = `/proc/${pid}/fd`;
  return (optional(() => readdirSync(folder)) ?? []).some((descriptor) =>
    sockets.has(optional(() => readlinkSync(`${folder}/${descriptor}`)) ?? ""),
  );
}

/** Some programs write more than their name there, as nginx and sshd do: "nginx: master process …". */
const programOf = (pid: string) =>
  basename(
    (optional(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"))?.split("\0")[0] ?? "").split(/[: ]/)[0]!,
  );

/** The process may be gone, or access may be denied. */
function optional<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
