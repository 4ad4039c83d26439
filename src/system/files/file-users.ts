import { type BigIntStats, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename } from "node:path";

/** A process that has a file open. */
export interface FileUser {
  /** Undefined for a process that holds a lock but is not visible here, for example in another PID namespace. */
  readonly pid: number | undefined;
  /** The program's name, without its arguments; empty when unknown. */
  readonly program: string;
}

/**
 * The processes that have one of these files open, compared by inode. Processes whose open files may not be listed are
 * found only by the locks that they hold. The process `self` is left out.
 */
export function usersOfFiles(paths: readonly string[], self: number): FileUser[] {
  const files = paths.flatMap((path) => statOf(path) ?? []);
  if (files.length === 0) return [];
  const names = new Set(paths.map((path) => basename(optional(() => realpathSync(path)) ?? path)));
  const found = new Map<number, FileUser>();
  const closed = new Set<number>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === self) continue;
    const open = hasOpen(pid, names, files);
    if (open === undefined) closed.add(Number(pid));
    else if (open) found.set(Number(pid), { pid: Number(pid), program: programOf(pid) });
  }
  for (const pid of lockHolders(readFileSync("/proc/locks", "utf8"), files)) {
    if (pid === self || found.has(pid)) continue;
    const seen = existsInProc(pid);
    // The open files of this process were compared above, so the lock is on another file.
    if (seen && !closed.has(pid)) continue;
    found.set(pid, { pid: seen ? pid : undefined, program: seen ? programOf(String(pid)) : "" });
  }
  return [...found.values()];
}

type Identity = Pick<BigIntStats, "dev" | "ino">;

/** proc(5), /proc/locks: the process's id is the fifth field, the sixth is MAJOR:MINOR:INODE, the first two in hexadecimal. */
export function lockHolders(text: string, files: readonly Identity[]): number[] {
  const wanted = new Set(files.map(({ dev, ino }) => `${major(dev)}:${minor(dev)}:${ino}`));
  return text.split("\n").flatMap((line) => {
    const lock = /^\d+: (?:-> )?\w+ +\w+ +\w+ +(-?\d+) +([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
    if (!lock) return [];
    const [, pid, maj, min, ino] = lock;
    return wanted.has(`${Number.parseInt(maj!, 16)}:${Number.parseInt(min!, 16)}:${ino!}`)
      ? [Number(pid)]
      : [];
  });
}

/** As in the C library: makedev(3). */
const major = (dev: bigint) => ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
const minor = (dev: bigint) => (dev & 0xffn) | ((dev >> 12n) & ~0xffn);

/** Undefined when its open files may not be listed. */
function hasOpen(pid: string, names: ReadonlySet<string>, files: readonly Identity[]): boolean | undefined {
  const folder = `/proc/${pid}/fd`;
  let descriptors: string[];
  try {
    descriptors = readdirSync(folder);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES" ? undefined : false;
  }
  return descriptors.some((descriptor) => {
    const link = optional(() => readlinkSync(`${folder}/${descriptor}`));
    // stat() on a hung file system would block for ever, so only files with a matching name are checked.
    if (link === undefined || !names.has(basename(link))) return false;
    const found = statOf(`${folder}/${descriptor}`);
    return found !== undefined && files.some(({ dev, ino }) => dev === found.dev && ino === found.ino);
  });
}

/** From the first argument, because the kernel's name of a process is that of a thread. */
const programOf = (pid: string) =>
  basename(optional(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"))?.split("\0")[0] ?? "");
const existsInProc = (pid: number) => pid > 0 && statOf(`/proc/${pid}`) !== undefined;
const statOf = (path: string) => optional(() => statSync(path, { bigint: true }));

/** The process or file may be gone, or access may be denied. */
function optional<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
