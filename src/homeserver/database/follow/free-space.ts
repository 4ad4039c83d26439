import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";

/** Bytes of free space at which a failure is called a full disk. */
export const FULL = 32 * 1024 * 1024;

/** Milliseconds between two looks. */
const LOOK_MS = 1000;

interface Reach {
  readonly files: Pick<Files, "diskSpace">;
  readonly machine: Pick<Machine, "wait">;
  readonly signal: AbortSignal;
}

/**
 * Looks at the free space of a folder while `work` runs: when that fails, and room was short, `whenFull` makes what is thrown. A server
 * removes what it has written in part before anybody can look.
 */
export async function watchFreeSpace<T>(
  folder: string,
  work: () => Promise<T>,
  whenFull: (free: number, cause: MigrationError) => MigrationError,
  { files, machine, signal }: Reach,
): Promise<T> {
  const over = new AbortController();
  let least = Infinity;
  const look = async () => (least = Math.min(least, (await files.diskSpace(folder)).free));
  const watching = (async () => {
    while (!over.signal.aborted) {
      await look();
      await machine.wait(LOOK_MS, over.signal);
    }
    // It only informs, and its wait is broken off at the end.
  })().catch(() => undefined);
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    await look().catch(() => undefined);
    throw error instanceof MigrationError && least < FULL ? whenFull(least, error) : error;
  } finally {
    over.abort();
    await watching;
  }
}
