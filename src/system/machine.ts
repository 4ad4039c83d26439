import { execFileSync } from "node:child_process";
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { availableParallelism, freemem, hostname, tmpdir, totalmem } from "node:os";
import { type FileUser, usersOfFiles } from "./files/file-users.ts";
import { type Endpoint, type ListenFault, type PortUser, tryToListen, usersOfPort } from "./listening.ts";
import { ownAccount } from "./own-account.ts";

/** The host and the process, as an interface so that tests can replace them. */
export interface Machine {
  /** Milliseconds since 1970, UTC. */
  now(): number;
  /** Milliseconds of a monotonic clock with an arbitrary start. */
  elapsed(): number;
  /**
   * Milliseconds since this boot of the system, which it identifies; suspended time counts. It can be compared between
   * processes, unlike `elapsed`. Undefined where /proc does not say.
   */
  sinceBoot(): BootTime | undefined;
  wait(milliseconds: number, signal?: AbortSignal): Promise<void>;
  readonly hostname: string;
  /**
   * Identifies this installation of a system, across boots and new host names: 32 hexadecimal digits made from
   * /etc/machine-id as sd_id128_get_machine_app_specific(3) does, so that the id itself is not given away. On a system
   * without one it is made from the host name. Clones of a virtual machine may share it.
   */
  readonly hostId: string;
  readonly pid: number;
  /** The name of the user this process runs as, or its number where it has no name. */
  readonly user: string;
  readonly isRoot: boolean;
  readonly cores: number;
  /** The working directory: relative paths on the command line start here. */
  readonly folder: string;
  /** Where temporary folders are made. */
  readonly temporary: string;
  random(bytes: number): Uint8Array;
  uuid(): string;
  /** The start time of a process in clock ticks since boot; undefined when it does not exist. */
  processStart(pid: number): string | undefined;
  /** All visible processes, with their arguments and, if accessible, their working directory. */
  processes(): readonly ProcessInfo[];
  /** The other processes that have one of these files open; see `usersOfFiles`. Symbolic links are followed. */
  usersOf(paths: readonly string[]): readonly FileUser[];
  /** Whether a server could listen there; see `tryToListen`. */
  tryToListen(at: Endpoint): Promise<ListenFault | undefined>;
  /** The processes that listen on a port, as far as they may be seen. */
  usersOfPort(port: number): readonly PortUser[];
  /** The names of the processes above this one, its own parent first: tells what ends with a lost connection. */
  ancestors(): readonly string[];
  /** Total memory, and memory available to a new program without swapping, in bytes. */
  memory(): { readonly total: number; readonly available: number };
  /** An account of this host; undefined when it does not exist. */
  account(name: string): Account | undefined;
}

interface BootTime {
  readonly boot: string;
  readonly milliseconds: number;
}

export interface ProcessInfo {
  readonly pid: number;
  readonly args: readonly string[];
  readonly folder: string | undefined;
}

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

export function realMachine(pid: number, folder: string): Machine {
  const user = ownAccount();
  return {
    now: () => Date.now(),
    elapsed: () => performance.now(),
    sinceBoot,
    wait: (milliseconds, signal) => wait(milliseconds, signal),
    hostname: hostname(),
    hostId: hostIdOf(machineId(), hostname()),
    pid,
    user: user.name,
    isRoot: user.uid === 0,
    cores: availableParallelism(),
    folder,
    temporary: tmpdir(),
    random: (bytes) => randomBytes(bytes),
    uuid: () => randomUUID(),
    processStart,
    processes,
    usersOf: (paths) => usersOfFiles(paths, pid),
    tryToListen,
    usersOfPort,
    ancestors: () => ancestorsOf(pid),
    memory,
    account: accountOf,
  };
}

/** proc(5): /proc/uptime has seconds; /proc/sys/kernel/random/boot_id is made at each boot. */
function sinceBoot(): BootTime | undefined {
  const boot = optional(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"))?.trim();
  const seconds = Number(optional(() => readFileSync("/proc/uptime", "utf8"))?.split(" ")[0] ?? NaN);
  return boot === undefined || Number.isNaN(seconds) ? undefined : { boot, milliseconds: seconds * 1000 };
}

/** machine-id(5): 32 hexadecimal digits; "uninitialized" in an image that has never booted. */
function machineId(): string | undefined {
  const text = optional(() => readFileSync("/etc/machine-id", "utf8"))?.trim();
  return text !== undefined && /^[0-9a-f]{32}$/.test(text) ? text : undefined;
}

/** Any fixed value that no other program uses. */
const APPLICATION_ID = Buffer.from("6d1f3c0e5b7a4f6c9a25e8d04b7c91f2", "hex");

/** `machineId` as in machine-id(5); without it, the host name has to do. */
export function hostIdOf(machineId: string | undefined, name: string): string {
  const key = machineId === undefined ? name : Buffer.from(machineId, "hex");
  return createHmac("sha256", key).update(APPLICATION_ID).digest("hex").slice(0, 32);
}

function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** proc(5): field 22 of /proc/PID/stat; the command in field 2 may itself hold spaces and brackets. */
function processStart(pid: number): string | undefined {
  const stat = optional(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

function processes(): ProcessInfo[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const args = optional(() => readFileSync(`/proc/${name}/cmdline`, "utf8"));
      if (!args) return [];
      const folder = optional(() => readlinkSync(`/proc/${name}/cwd`));
      return [{ pid: Number(name), args: args.split("\0").filter(Boolean), folder }];
    });
}

/** proc(5): fields 2 and 4 of /proc/PID/stat. */
function ancestorsOf(pid: number): string[] {
  const names: string[] = [];
  for (let at = pid; at > 1;) {
    const found = /^\d+ \((.*)\) \S (\d+)/s.exec(
      optional(() => readFileSync(`/proc/${at}/stat`, "utf8")) ?? "",
    );
    if (!found) break;
    if (at !== pid) names.push(found[1]!);
    at = Number(found[2]);
  }
  return names;
}

/** proc(5), meminfo: in KiB. The limit of a container is not considered. */
function memory(): { total: number; available: number } {
  const text = optional(() => readFileSync("/proc/meminfo", "utf8")) ?? "";
  const kibibytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? NaN);
  const [total, available] = [kibibytes("MemTotal") * 1024, kibibytes("MemAvailable") * 1024];
  return {
    total: Number.isNaN(total) ? totalmem() : total,
    available: Number.isNaN(available) ? freemem() : available,
  };
}

/** The process may be gone, or access may be denied. */
function optional<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Uses getent, because accounts may be in a directory service and not in /etc/passwd. */
function accountOf(name: string): Account | undefined {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/.test(name)) return undefined;
  try {
    const line = execFileSync("getent", ["passwd", name], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      // A hung directory service must not block the run.
      timeout: 5000,
      killSignal: "SIGKILL",
    });
    const [account, , uid, gid, , home] = line.trim().split(":");
    if (!account || !uid || !gid) return undefined;
    return { name: account, uid: Number(uid), gid: Number(gid), home: home ?? "/" };
  } catch {
    return undefined;
  }
}
