import type { Pace } from "../../bundle/pace.ts";

/** What is to be moved, counted or estimated at the source. All sizes in bytes. */
export interface Load {
  /** Text of the dump before it is compressed; for SQLite the file. */
  readonly dumpBytes: number;
  readonly databaseBytes: number;
  readonly mediaBytes: number;
  readonly mediaFiles: number;
}

/** What was measured here, and what somebody says of the road. All rates in bytes per second. */
export interface Rates {
  /** What the database gives out. */
  readonly reading: number;
  readonly database: Pace;
  readonly media: Pace;
  /** Between the two hosts. */
  readonly link: number;
}

export interface Stage {
  readonly id:
    | "stop"
    | "database"
    | "media"
    | "seal"
    | "carry"
    | "restore-database"
    | "restore-media"
    | "gates"
    | "start";
  /** For people. */
  readonly label: string;
  readonly seconds: number;
  /** "assumed" where nothing of it could be measured on this machine. */
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

/** Seconds that nobody can measure beforehand: a Synapse that is told to stop finishes its requests, one that starts fills its caches. */
const STOPPING = 10;
const STARTING = 20;

/** Filling a database takes so much longer than reading it, with its indexes (a database of 1.1 GB, PostgreSQL 15: 2.9 s against 9.5 s). */
const FILLING = 3.3;

/** Seconds for a file besides its bytes: written, named, given its times and owner; and looked at, when only that. */
const PER_FILE_RESTORED = 0.0006;
const PER_FILE_READ = 0.0001;

/** Bytes per second that a gate hashes or counts: SHA-256 of one core, and rows of a table that is not in memory. */
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
    sideBySide(dumpBytes / reading, dumpBytes / database.packing, dumpBytes / database.readingBack) +
    database.each;
  const packMedia =
    sideBySide(mediaBytes / media.packing, mediaBytes / media.readingBack) +
    mediaFiles * PER_FILE_READ +
    media.each;
  const seal = SMALL_ARTIFACTS * database.each + 1;
  const outage: Stage[] = [
    { id: "stop", label: "stop the old server", seconds: STOPPING, basis: "assumed" },
    { id: "database", label: "pack the database", seconds: packDatabase, basis: "measured" },
    // All but what comes in the last moments is packed while the server still serves.
    { id: "media", label: "pack the media that came since", seconds: media.each, basis: "assumed" },
    { id: "seal", label: "seal the bundle", seconds: seal, basis: "measured" },
    { id: "carry", label: "carry the bundle", seconds: bundleBytes / link, basis: "assumed" },
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
      label: "prove the new server",
      seconds: databaseBytes / COUNTING + mediaBytes / HASHING + mediaFiles * PER_FILE_READ,
      basis: "assumed",
    },
    { id: "start", label: "start the new server", seconds: STARTING, basis: "assumed" },
  ];
  const outageSeconds = outage.reduce((sum, { seconds }) => sum + seconds, 0);
  return { outage, outageSeconds, preparationSeconds: outageSeconds - STOPPING + packMedia, bundleBytes };
}

/** Reading, packing and reading back go on at the same time: the slowest sets the pace, on no more than two cores. */
const sideBySide = (...seconds: readonly number[]) =>
  Math.max(...seconds, seconds.reduce((sum, one) => sum + one, 0) / 2);

/** Bytes that tar and gzip's framing add to a file, about (a header block and half a block of filling). */
const TAR_HEADER = 768;
