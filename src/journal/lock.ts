import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { Files } from "../system/files/files.ts";
import type { Machine } from "../system/machine.ts";

const holderSchema = z.object({
  pid: z.number(),
  host: z.string(),
  /** The kernel's start time of that process: a process id alone may have been given to another since. */
  start: z.string(),
  since: z.string(),
});

export type Holder = z.infer<typeof holderSchema>;

/**
 * One run at a time. Throws `bundle-locked`, naming who holds it. A lock whose process is gone is taken over;
 * one of another host cannot be judged from here and is respected.
 */
export async function takeLock(
  path: string,
  files: Files,
  machine: Machine,
): Promise<{ release(): Promise<void> }> {
  const me: Holder = {
    pid: machine.pid,
    host: machine.hostname,
    start: machine.processStart(machine.pid) ?? "",
    since: new Date(machine.now()).toISOString(),
  };
  const claim = async () => {
    try {
      return await files.createNew(path, `${JSON.stringify(me)}\n`);
    } catch (error) {
      // On a full disk too it is somebody's, if it is there.
      const found = await read(path, files);
      if (typeof found === "object" && !isGone(found, machine)) throw held(path, found);
      throw error;
    }
  };
  while (!(await claim())) {
    const found = await read(path, files);
    if (typeof found === "object" && !isGone(found, machine)) throw held(path, found);
    if (found !== "none") await removeStale(path, files, machine);
  }
  return {
    release: async () => {
      const holder = await lockHolder(path, files);
      if (holder?.pid === me.pid && holder.start === me.start) await files.remove(path);
    },
  };
}

/** Who holds the lock; undefined when nobody does or the file is unreadable. */
export async function lockHolder(path: string, files: Files): Promise<Holder | undefined> {
  const found = await read(path, files).catch(() => "unreadable" as const);
  return typeof found === "object" ? found : undefined;
}

/** What a machine leaves that lost its power is not readable. */
async function read(path: string, files: Files): Promise<Holder | "none" | "unreadable"> {
  try {
    return holderSchema.parse(JSON.parse(await files.readText(path)));
  } catch (error) {
    if (!(error instanceof MigrationError)) return "unreadable";
    if (error.code === "file-missing") return "none";
    throw error;
  }
}

/** Whether the holder is certainly gone. */
export function isGone(holder: Holder, machine: Machine): boolean {
  return holder.host === machine.hostname && machine.processStart(holder.pid) !== holder.start;
}

/**
 * Two runs may find the same stale lock, and one of them may have it already when the other gets to remove it. So
 * whoever removes a lock that is not its own holds a second one while it looks again and removes. Throws as `takeLock`.
 */
async function removeStale(path: string, files: Files, machine: Machine): Promise<void> {
  const only = await takeLock(`${path}.stale`, files, machine);
  try {
    const found = await read(path, files);
    if (found === "unreadable" || (found !== "none" && isGone(found, machine))) await files.remove(path);
  } finally {
    await only.release();
  }
}

function held(path: string, { pid, host, since }: Holder): MigrationError {
  return new MigrationError(
    "bundle-locked",
    `process ${pid} on ${host} works on this bundle since ${since}`,
    {
      hint: `wait until it has ended; if ${host} is gone for good, remove ${path}`,
    },
  );
}
