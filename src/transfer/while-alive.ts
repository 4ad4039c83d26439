import type { Machine } from "../system/machine.ts";
import type { Attempt } from "./remote.ts";

/** Milliseconds between two signs of life. */
const EVERY_MS = 5_000;

/** Runs a program that says nothing while it works, and that ends by itself when its own connection is silent. */
export async function whileAlive<T>(
  { checked }: Attempt,
  { wait }: Pick<Machine, "wait">,
  act: () => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const tell = async () => {
    for (;;) {
      await wait(EVERY_MS, ended.signal);
      checked(0);
    }
  };
  tell().catch(() => undefined);
  try {
    return await act();
  } finally {
    ended.abort();
  }
}
