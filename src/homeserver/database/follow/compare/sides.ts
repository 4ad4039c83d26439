import type { PostgresSession } from "../../../../system/postgres/postgres.ts";

/** The two databases, each with as many connections as are asked for. The caller of `connect` closes them. */
export interface Sides {
  readonly old: () => Promise<PostgresSession>;
  readonly copy: () => Promise<PostgresSession>;
}

/** Both sides of one comparison, asked at the same time. */
export interface Pair {
  readonly old: PostgresSession;
  readonly copy: PostgresSession;
}

/** Asks both at the same time. */
export async function askBoth<T>(
  pair: Pair,
  ask: (session: PostgresSession) => Promise<T>,
): Promise<{ old: T; copy: T }> {
  const [old, copy] = await Promise.all([ask(pair.old), ask(pair.copy)]);
  return { old, copy };
}

async function connectPair({ old, copy }: Sides): Promise<Pair> {
  const first = await old();
  try {
    return { old: first, copy: await copy() };
  } catch (error) {
    await first.close();
    throw error;
  }
}

export async function withPair<T>(sides: Sides, act: (pair: Pair) => Promise<T>): Promise<T> {
  const pair = await connectPair(sides);
  try {
    return await act(pair);
  } finally {
    await closePair(pair);
  }
}

async function closePair({ old, copy }: Pair): Promise<void> {
  await Promise.all([old.close(), copy.close()]);
}

/**
 * Compares many tables with some pairs of connections, the next table with the first pair that is free. `act` returns false when a
 * query failed in it: then the others get new connections.
 */
export async function forEachWith<T>(
  sides: Sides,
  items: readonly T[],
  pairs: number,
  act: (item: T, pair: Pair) => Promise<boolean>,
): Promise<void> {
  const waiting = [...items];
  const workWith = async (pair: Pair) => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift())
      if (!(await act(item, pair))) return;
  };
  const work = async () => {
    while (waiting.length > 0) await withPair(sides, workWith);
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(pairs, items.length) }, work));
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}
