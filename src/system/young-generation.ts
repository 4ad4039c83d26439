import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** Bytes of V8's young generation from which on it does not grow. Each of its two halves has half of that. */
const ENOUGH = 16 * 1024 * 1024;

/** Milliseconds between two looks. A look takes some microseconds. */
const INTERVAL = 20;

/**
 * Keeps V8's young generation small. On a machine with much memory it grows to 128 MB, half of what synlift would
 * take in all, and what lives there are small objects that are dropped at once: a larger one saves some per cent of time.
 * V8 has an option for that, `--max-semi-space-size`, but only on Node's command line, which is not always ours. By
 * which factor it grows can be set at any time. To be called once, at the start.
 */
export function limitYoungGeneration(): void {
  const look = setInterval(() => {
    const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space");
    if (young === undefined || young.space_size < ENOUGH) return;
    setFlagsFromString("--semi-space-growth-factor=1");
    clearInterval(look);
  }, INTERVAL);
  look.unref();
}
