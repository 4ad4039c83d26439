import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { Files } from "../system/files.ts";
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
  for (let tries = 0; ; tries++) {
    if (await files.createNew(path, `${JSON.stringify(me)}\n`)) break;
    const holder = await lockHolder(path, files);
    if (holder && (tries > 3 || !isGone(holder, machine))) throw held(path, holder);
    await removeStale(path, holder, files, machine);
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
  if (!(await files.look(path))) return undefined;
  try {
    return holderSchema.parse(JSON.parse(await files.readText(path)));
  } catch {
    return undefined;
  }
}

/** Whether the holder is certainly gone. */
export function isGone(holder: Holder, machine: Machine): boolean {
  return holder.host === machine.hostname && machine.processStart(holder.pid) !== holder.start;
}

/** Two runs may find the same stale lock: only the one whose rename succeeds removes it, and only if it is still that one. */
async function removeStale(
  path: string,
  seen: Holder | undefined,
  files: Files,
  machine: Machine,
): Promise<void> {
  const aside = `${path}.stale-${machine.pid}`;
  try {
    await files.rename(path, aside);
  } catch {
    return;
  }
  const moved = await lockHolder(aside, files);
  if (moved && seen?.pid !== moved.pid) {
    // In between somebody else took it: it is theirs, so it goes back.
    if (!(await files.look(path))) await files.rename(aside, path);
    throw held(path, moved);
  }
  await files.remove(aside);
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
