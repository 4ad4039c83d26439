import { dirname } from "node:path";
import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { Files } from "../system/files/files.ts";
import type { Machine } from "../system/machine.ts";

const holderSchema = z.object({
  pid: z.number(),
  host: z.string(),
  /** The kernel's start time of that process: a process id alone may have been reused since. */
  start: z.string(),
  /** The boot of the host: after another one the same id and start time may be those of another process. */
  boot: z.string().optional(),
  since: z.string(),
});

export type LockHolder = z.infer<typeof holderSchema>;

/**
 * Allows one run at a time. Throws `bundle-in-use`, naming the process that holds the lock, and `what` it works with. A stale lock is
 * replaced; a lock of another host cannot be checked from here and is respected.
 */
export async function acquireLock(
  path: string,
  files: Files,
  machine: Machine,
  what: string = dirname(path),
): Promise<{ release(): Promise<void> }> {
  const me: LockHolder = {
    pid: machine.pid,
    host: machine.hostname,
    start: machine.processStart(machine.pid) ?? "",
    ...bootOf(machine),
    since: new Date(machine.now()).toISOString(),
  };
  const claim = async () => {
    try {
      return await files.createNew(path, `${JSON.stringify(me)}\n`);
    } catch (error) {
      // Creating it may fail on a full disk although another process holds the lock.
      const found = await read(path, files);
      if (typeof found === "object" && !isHolderGone(found, machine)) throw lockHeldError(path, what, found);
      throw error;
    }
  };
  while (!(await claim())) {
    const found = await read(path, files);
    if (typeof found === "object" && !isHolderGone(found, machine)) throw lockHeldError(path, what, found);
    if (found !== "none") await removeStale(path, files, machine, what);
  }
  return {
    release: async () => {
      const holder = await readLockHolder(path, files);
      if (holder?.pid === me.pid && holder.start === me.start) await files.remove(path);
    },
  };
}

/** Throws `bundle-in-use` as `acquireLock` does, and takes nothing: another run may acquire the lock afterwards. */
export async function assertLockFree(path: string, files: Files, machine: Machine): Promise<void> {
  const found = await read(path, files);
  if (typeof found === "object" && !isHolderGone(found, machine))
    throw lockHeldError(path, dirname(path), found);
}

/** The holder of the lock; undefined when there is none or the file is unreadable. */
export async function readLockHolder(path: string, files: Files): Promise<LockHolder | undefined> {
  const found = await read(path, files).catch(() => "unreadable" as const);
  return typeof found === "object" ? found : undefined;
}

/** After a power failure the file may be unreadable. */
async function read(path: string, files: Files): Promise<LockHolder | "none" | "unreadable"> {
  try {
    return holderSchema.parse(JSON.parse(await files.readText(path)));
  } catch (error) {
    if (!(error instanceof MigrationError)) return "unreadable";
    if (error.code === "file-missing") return "none";
    throw error;
  }
}

/** Whether the holder certainly no longer runs. */
export function isHolderGone(holder: LockHolder, machine: Machine): boolean {
  if (holder.host !== machine.hostname) return false;
  const { boot } = bootOf(machine);
  const rebooted = holder.boot !== undefined && boot !== undefined && holder.boot !== boot;
  return rebooted || machine.processStart(holder.pid) !== holder.start;
}

function bootOf(machine: Machine): { readonly boot?: string } {
  const boot = machine.sinceBoot()?.boot;
  return boot === undefined ? {} : { boot };
}

/**
 * Two runs may find the same stale lock, and one of them may have acquired it already when the other removes it.
 * Therefore a second lock is held while the stale one is checked again and removed. Throws as `acquireLock`.
 */
async function removeStale(path: string, files: Files, machine: Machine, what: string): Promise<void> {
  const only = await acquireLock(`${path}.stale`, files, machine, what);
  try {
    const found = await read(path, files);
    if (found === "unreadable" || (found !== "none" && isHolderGone(found, machine)))
      await files.remove(path);
  } finally {
    await only.release();
  }
}

function lockHeldError(path: string, what: string, { pid, host, since }: LockHolder): MigrationError {
  return new MigrationError(
    "bundle-in-use",
    `process ${pid} on ${host} has been working with ${what} since ${since}`,
    {
      hint: `wait until it has ended; if ${host} no longer exists, remove ${path}`,
    },
  );
}
