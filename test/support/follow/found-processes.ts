import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

export interface FoundProcess {
  readonly pid: number;
  /** Its arguments; PostgreSQL's processes say there what they do. */
  readonly line: string;
}

/** The processes of this host whose arguments contain all of these texts, but for this one. */
export function processesWith(...texts: readonly string[]): readonly FoundProcess[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      const line = argumentsOf(name);
      return texts.every((text) => line.includes(text)) ? [{ pid: Number(name), line }] : [];
    });
}

/** Waits until there is one, and hands it back; throws when there is none in time. */
export const untilProcess = (...texts: readonly string[]): Promise<FoundProcess> =>
  untilFound(texts, () => processesWith(...texts));

/**
 * The same among the processes of one PostgreSQL: they all have the same names, and whoever kills another one's makes a server crash
 * that some other test looks at.
 */
export const untilServerProcess = (dataFolder: string, ...texts: readonly string[]): Promise<FoundProcess> =>
  untilFound([...texts, dataFolder], () =>
    processesWith("/postgres", dataFolder)
      .flatMap(childrenOf)
      .filter(({ line }) => texts.every((text) => line.includes(text))),
  );

async function untilFound(
  texts: readonly string[],
  find: () => readonly FoundProcess[],
): Promise<FoundProcess> {
  for (const limit = performance.now() + 60_000; ;) {
    const [found] = find();
    if (found) return found;
    await wait(20);
    if (performance.now() > limit) throw new Error(`no process with ${texts.join(" and ")} in a minute`);
  }
}

/** Ends it at once; it may have ended by itself. */
export function killAtOnce({ pid }: FoundProcess): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

function argumentsOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** The processes that it has started itself. */
export const childrenOf = ({ pid }: FoundProcess): readonly FoundProcess[] =>
  processesWith("").filter((found) => parentOf(found.pid) === pid);

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
