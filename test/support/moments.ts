/** Pseudo-random numbers from 0 to 1, the same for the same seed (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A random moment at which an export is killed: a time after an event. */
export interface KillMoment {
  /** For people. */
  readonly after: string;
  /** Text of the event; undefined for the start. */
  readonly said: string | undefined;
  readonly milliseconds: number;
}

const ANCHORS: readonly (Omit<KillMoment, "milliseconds"> & { readonly within: number })[] = [
  { after: "its start", said: undefined, within: 1500 },
  { after: "it began to pack media", said: '"write/customer_backup_media_export.tar.gz.gpg"', within: 600 },
  { after: "it began to fence", said: '"sentence":"now: ', within: 500 },
  { after: "the outage began", said: '"type":"outage"', within: 1200 },
  { after: "it began to dump", said: '"write/customer_db_export.sql.gz.gpg"', within: 900 },
  { after: "it began to read the dump back", said: '"check/customer_db_export.sql.gz.gpg"', within: 700 },
];

/** Moments in each phase of the run in turn, at a random time in it. */
export function killMoments(count: number, next: () => number): KillMoment[] {
  return Array.from({ length: count }, (_, index) => {
    const { within, ...anchor } = ANCHORS[(index + 2) % ANCHORS.length]!;
    return { ...anchor, milliseconds: Math.floor(next() * within) };
  });
}
