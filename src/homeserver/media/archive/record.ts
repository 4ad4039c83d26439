import { z } from "zod";
import type { Upload } from "./upload.ts";

/** What JSON of Go's encoder may leave out or say as null. */
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
const integer = z
  .int()
  .nullish()
  .transform((value) => value ?? 0);

/** A record of matrix-media-repo's manifest (archival/v2archive/manifest.go), with what Synapse knows besides. */
export const recordSchema = z.object({
  name: text,
  file_name: text,
  size_bytes: integer.refine((size) => size >= 0, { error: "is negative" }),
  content_type: text,
  s3_url: text,
  sha256: text,
  origin: text,
  media_id: text,
  created_ts: integer,
  uploader: text,
  /** Ours; other readers ignore it. */
  synlift: z
    .object({
      quarantined_by: z.string().optional(),
      safe_from_quarantine: z.boolean().optional(),
      authenticated: z.boolean().optional(),
      last_access_ts: z.int().optional(),
    })
    .optional()
    .catch(undefined),
});

export type ArchiveRecord = z.infer<typeof recordSchema>;

/** What was read of a file while it was packed. */
export interface ReadFile {
  readonly fileName: string;
  readonly size: number;
  readonly sha256: string;
}

export function recordOf(upload: Upload, origin: string, file: ReadFile): ArchiveRecord {
  const { quarantinedBy, safeFromQuarantine, authenticated, lastAccessTs } = upload;
  const more = {
    ...(quarantinedBy === null ? {} : { quarantined_by: quarantinedBy }),
    ...(safeFromQuarantine ? { safe_from_quarantine: true } : {}),
    ...(authenticated === null ? {} : { authenticated }),
    ...(lastAccessTs === null ? {} : { last_access_ts: Math.trunc(lastAccessTs) }),
  };
  return {
    name: upload.name ?? "",
    file_name: file.fileName,
    size_bytes: file.size,
    content_type: upload.contentType ?? "",
    s3_url: "",
    sha256: file.sha256,
    origin,
    media_id: upload.mediaId,
    created_ts: Math.trunc(upload.createdTs ?? 0),
    uploader: uploaderOn(origin, upload.userId ?? ""),
    ...(Object.keys(more).length === 0 ? {} : { synlift: more }),
  };
}

export const mxcOf = ({ origin, media_id: id }: Pick<ArchiveRecord, "origin" | "media_id">): string =>
  `mxc://${origin}/${id}`;

/** A user id of that server, or nothing: the importer leaves out a record whose uploader is of another one. */
const uploaderOn = (origin: string, userId: string): string =>
  userId.startsWith("@") &&
  userId.endsWith(`:${origin}`) &&
  userId.indexOf(":") === userId.length - origin.length - 1
    ? userId
    : "";
