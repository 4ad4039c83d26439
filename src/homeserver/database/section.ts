import { z } from "zod";
import { keptSchema } from "../scope.ts";
import { followedSchema } from "./follow/compare/comparison.ts";

/** Counts from the same snapshot of the database that was packed. */
export const databaseSectionSchema = z.object({
  /** Bundles without this field hold PostgreSQL. */
  engine: z.enum(["postgres", "sqlite"]).default("postgres"),
  /** PostgreSQL's server_version_num: 150018. 0 for SQLite, whose files every version reads. */
  serverVersion: z.number(),
  /** Rows per table that the dump holds: "public.events"; "main.events" of SQLite. */
  rows: z.record(z.string(), z.number()),
  /** Rows that remain after restore has deleted those that are not moved, for the tables that this concerns. */
  staying: z.record(z.string(), z.number()),
  /** Rows of the old database that are not in the dump. */
  leftOut: z.record(z.string(), z.number()),
  /** last_value as text, and whether it was handed out: "public.events_stream_seq". Of SQLite, columns with AUTOINCREMENT, by their table. */
  sequences: z.record(z.string(), z.object({ last: z.string(), called: z.boolean() })),
  /** Synapse's own record of how far each stream is: stream name → highest id, as text. */
  streams: z.record(z.string(), z.string()),
  schemaVersion: z.number(),
  compatVersion: z.number(),
  /** Which rows stay besides those of uploads; none when left out. */
  kept: keptSchema.optional(),
  /** Objects of the old database that are not in the dump, as its restore would fail at them: "VIEW public.slow". */
  objectsLeftOut: z.array(z.string()).optional(),
  /** The format of the dump; plain SQL when left out. */
  dumpFormat: z.literal("custom").optional(),
  /** Of a database that followed the old one instead of being dumped. Its `rows` are as last counted. */
  followed: followedSchema.optional(),
});

export type DatabaseSection = z.infer<typeof databaseSectionSchema>;
