import { z } from "zod";

/** An upload whose file is missing or of another size. */
export const differingSchema = z.object({
  mediaId: z.string(),
  /** Bytes by its row. */
  expected: z.number(),
  /** Bytes on disk; null when there is no file. */
  found: z.number().nullable(),
  uploader: z.string().nullable().optional(),
});

/** What was packed of the media store, and how it fits the rows. */
export const mediaSectionSchema = z.object({
  files: z.number(),
  bytes: z.number(),
  /** Rows of local uploads, and their bytes. */
  rows: z.number(),
  rowBytes: z.number(),
  /** Uploads whose file was missing or of another size at the source already; somebody accepted it. */
  differing: z.array(differingSchema),
  /** All of them, when `differing` names the first only; as many as it names when left out. */
  differingCount: z.number().optional(),
  /** See `Comparison`. */
  differingDigest: z.string().optional(),
  /** Uploads whose file had not the hash that its row has; somebody accepted it. */
  changed: z.array(z.string()).optional(),
  /** At most so many, when `changed` names the first only. */
  changedCount: z.number().optional(),
  /** Names below the store of files that could not be read; somebody accepted it. */
  unreadable: z.array(z.string()).optional(),
  /** All of them, when `unreadable` names the first only. */
  unreadableCount: z.number().optional(),
});

export type MediaSection = z.infer<typeof mediaSectionSchema>;
export type Differing = z.infer<typeof differingSchema>;
