import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Bytes of V8's young generation from which on it does not grow. Each of its two halves has half of that. */
const ENOUGH_YOUNG = 16 * 1024 * 1024;

/** Bytes of the old generation from which on it is collected before it grows much: only long work gets there. */
const ENOUGH_OLD = 24 * 1024 * 1024;

/** By how many per cent of what is in use the old generation may grow until it is collected. */
const GROWTH = 40;

/** Milliseconds between two looks. A look takes some microseconds. */
const INTERVAL = 20;

/**
 * Keeps V8's heap near what is in use. On a machine with much memory the young generation grows to 128 MB, and the old one
 * is not collected before it has a hundred: together most of what synlift would take, nearly all of it small objects that were
 * dropped long ago. V8 has options for both, `--max-semi-space-size` and `--initial-old-space-size`, but only on Node's
 * command line, which is not always ours. By which factors they grow can be set at any time. To be called once, at the start.
 */
export function limitHeapGrowth(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH}`);
  const limits = [
    () => {
      if (sizeOf("new_space") < ENOUGH_YOUNG) return false;
      setFlagsFromString("--semi-space-growth-factor=1");
      return true;
    },
    () => {
      if (sizeOf("old_space") < ENOUGH_OLD) return false;
      // Where V8 starts from is set before any program runs; the percentage counts from the first collection on.
      collectOnce();
      return true;
    },
  ];
  const look = setInterval(() => {
    for (const limit of [...limits]) if (limit()) limits.splice(limits.indexOf(limit), 1);
    if (limits.length === 0) clearInterval(look);
  }, INTERVAL);
  look.unref();
}

const sizeOf = (name: string) =>
  getHeapSpaceStatistics().find(({ space_name: space }) => space === name)?.space_size ?? 0;

/** The collection of all garbage, some tens of milliseconds, is a function that V8 gives only to a context made meanwhile. */
function collectOnce(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  setFlagsFromString("--no-expose-gc");
  collect();
}
