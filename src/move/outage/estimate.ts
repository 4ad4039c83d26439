import type { Throughput } from "../../bundle/throughput.ts";

/** What is to be moved, counted or estimated at the source. All sizes in bytes. */
export interface Load {
  /** Text of the dump before it is compressed; for SQLite the file. */
  readonly dumpBytes: number;
  readonly databaseBytes: number;
  readonly mediaBytes: number;
  readonly mediaFiles: number;
}

/** What was measured here, and the given speed of the link. All rates in bytes per second. */
export interface Rates {
  /** Reading the database. */
  readonly reading: number;
  readonly database: Throughput;
  readonly media: Throughput;
  /** Between the two hosts. */
  readonly link: number;
}

export interface Stage {
  readonly id:
    | "stop"
    | "database"
    | "media"
    | "seal"
    | "transfer"
    | "restore-database"
    | "restore-media"
    | "gates"
    | "start";
  /** For people. */
  readonly label: string;
  readonly seconds: number;
  /** "assumed" where nothing could be measured on this machine. */
  readonly basis: "measured" | "assumed";
}

export interface Estimate {
  /** From the stop of the old server to the answer of the new one, in their order. */
  readonly outage: readonly Stage[];
  readonly outageSeconds: number;
  /** What a rehearsal takes: the same without stopping anything, days before. */
  readonly preparationSeconds: number;
  /** Bytes of the bundle. */
  readonly bundleBytes: number;
}

/** Seconds that cannot be measured in advance: a stopping Synapse finishes its requests, a starting one fills its caches. */
const STOPPING = 10;
const STARTING = 20;

/** Seconds that a copy which follows takes for the last of the log, the comparison of what was written since, and its promotion. */
const CUTTING_OVER = 5;

/** How much longer restoring a database with its indexes takes than reading it (1.1 GB, PostgreSQL 15: 9.5 s and 2.9 s). */
const FILLING = 3.3;

/** Seconds per file besides its bytes: to write it and set name, times and owner; and to stat it only. */
const PER_FILE_RESTORED = 0.0006;
const PER_FILE_READ = 0.0001;

/** Bytes per second that a gate hashes or counts: SHA-256 on one core, and rows of a table that is not cached. */
const HASHING = 400e6;
const COUNTING = 500e6;

/** Artifacts besides database and media: configuration and inventory. */
const SMALL_ARTIFACTS = 2;

/** Adds up what was measured. Pure; every figure comes from its arguments or from a constant above. */
export function estimateMove(load: Load, rates: Rates): Estimate {
  const { dumpBytes, databaseBytes, mediaBytes, mediaFiles } = load;
  const { reading, database, media, link } = rates;
  const bundleBytes = dumpBytes * database.ratio + mediaBytes * media.ratio + mediaFiles * TAR_HEADER;

  const packDatabase =
    concurrentSeconds(dumpBytes / reading, dumpBytes / database.packing, dumpBytes / database.readingBack) +
    database.secondsPerArtifact;
  const packMedia =
    concurrentSeconds(mediaBytes / media.packing, mediaBytes / media.readingBack) +
    mediaFiles * PER_FILE_READ +
    media.secondsPerArtifact;
  const seal = SMALL_ARTIFACTS * database.secondsPerArtifact + 1;
  const outage: Stage[] = [
    { id: "stop", label: "stop the old server", seconds: STOPPING, basis: "assumed" },
    { id: "database", label: "pack the database", seconds: packDatabase, basis: "measured" },
    // Everything except the most recent uploads is packed while the server still runs.
    { id: "media", label: "pack the media added since", seconds: media.secondsPerArtifact, basis: "assumed" },
    { id: "seal", label: "seal the bundle", seconds: seal, basis: "measured" },
    {
      id: "transfer",
      label: "copy the bundle to the new host",
      seconds: bundleBytes / link,
      basis: "assumed",
    },
    {
      id: "restore-database",
      label: "restore the database",
      seconds: (FILLING * dumpBytes) / reading + bundleBytes / HASHING,
      basis: "assumed",
    },
    {
      id: "restore-media",
      label: "restore the media",
      seconds: mediaBytes / media.readingBack + mediaFiles * PER_FILE_RESTORED,
      basis: "assumed",
    },
    {
      id: "gates",
      label: "verify the new server",
      seconds: databaseBytes / COUNTING + mediaBytes / HASHING + mediaFiles * PER_FILE_READ,
      basis: "assumed",
    },
    { id: "start", label: "start the new server", seconds: STARTING, basis: "assumed" },
  ];
  const outageSeconds = outage.reduce((sum, { seconds }) => sum + seconds, 0);
  return { outage, outageSeconds, preparationSeconds: outageSeconds - STOPPING + packMedia, bundleBytes };
}

/** Seconds of the outage with a copy that follows: it does not grow with the database. Pure. */
export const followedOutage = ({ mediaBytes, mediaFiles }: Load): number =>
  STOPPING + CUTTING_OVER + mediaBytes / HASHING + mediaFiles * PER_FILE_READ + STARTING;

/** Reading, packing and reading back run concurrently: the slowest sets the pace, on at most two cores. */
const concurrentSeconds = (...seconds: readonly number[]) =>
  Math.max(...seconds, seconds.reduce((sum, one) => sum + one, 0) / 2);

/** Approximate bytes that tar and gzip add to a file (a header block and half a block of padding). */
const TAR_HEADER = 768;
