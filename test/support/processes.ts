import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

/** Whether the kernel still knows this process; "zombie" when it ended and nobody asked how. */
export function stateOf(pid: number): "running" | "zombie" | "gone" {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1")) ? "zombie" : "running";
  } catch {
    return "gone";
  }
}

/** Waits until a thing is so; fails with `what` when it is not in time. */
export async function until(what: string, isSo: () => boolean, seconds = 60): Promise<void> {
  const limit = performance.now() + seconds * 1000;
  while (!isSo()) {
    if (performance.now() > limit) throw new Error(`not in ${seconds} s: ${what}`);
    await wait(10);
  }
}
