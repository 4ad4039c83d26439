import { z } from "zod";

/** Rows inserted, updated and deleted since PostgreSQL began to count, and the table's file, which TRUNCATE and VACUUM FULL change. */
const countersSchema = z.object({
  inserted: z.number(),
  updated: z.number(),
  deleted: z.number(),
  file: z.number(),
});
export type Counters = z.infer<typeof countersSchema>;

/**
 * How the rows that came later are found without reading the others: by an indexed column whose values lay between these two, as
 * text; or by the events that came later.
 */
const watermarkSchema = z.object({
  by: z.enum(["number", "event"]),
  /** The indexed column; of `event`, that with the event's id. */
  column: z.string(),
  /** Of the column, or of `events.stream_ordering`. Backfilled events count downwards: hence both ends. */
  from: z.string(),
  to: z.string(),
});
export type Watermark = z.infer<typeof watermarkSchema>;

const wholeTableSchema = z.object({
  /** Rows of the old database. */
  rows: z.number(),
  /**
   * `equal`: count and digest of all rows, as nothing was written to it meanwhile. `settled`: those of all rows within the watermark. `moved`: it
   * was written to meanwhile, and the counts differ by no more than was written.
   */
  how: z.enum(["equal", "settled", "moved"]),
  /** Of the old database, before the comparison began. */
  counters: countersSchema,
  watermark: watermarkSchema.nullable(),
});

/** What the first comparison found, of all rows of a database, while its server ran. */
export const wholeComparisonSchema = z.object({
  /** ISO 8601. */
  at: z.string(),
  /** The position in the old server's log that the copy had reached. */
  position: z.string(),
  /** When the old server began to count, as text. */
  countedSince: z.string(),
  /** By table: "public.events". */
  tables: z.record(z.string(), wholeTableSchema),
});
export type WholeComparison = z.infer<typeof wholeComparisonSchema>;

export const comparedTableSchema = z.object({
  /**
   * `unchanged`: nothing was written to it since the whole comparison. `whole`: count and digest of all rows. `recent`: those of the rows
   * that came since. `counted`: those too, where there is a watermark, and the number of all rows.
   */
  how: z.enum(["unchanged", "whole", "recent", "counted"]),
  /** As last counted: of `recent`, in the whole comparison. */
  rows: z.number(),
  /** Changes to rows that were not compared one by one: the old server's counts of them, which also count what was rolled back. */
  notSeen: z.number(),
  seconds: z.number(),
});
export type ComparedTable = z.infer<typeof comparedTableSchema>;

/** What was compared when, of a database that followed the old one. */
export const followedSchema = z.object({
  road: z.enum(["standby", "logical"]),
  whole: z.object({ at: z.string(), position: z.string() }),
  /** While the old server was fenced: everything up to this position is here. */
  cut: z.object({ at: z.string(), position: z.string(), seconds: z.number() }),
  tables: z.record(z.string(), comparedTableSchema),
  /** Of this copy's tables, once everything was done: who writes to it changes them. */
  counters: z.record(z.string(), countersSchema),
  countedSince: z.string(),
});
export type Followed = z.infer<typeof followedSchema>;
