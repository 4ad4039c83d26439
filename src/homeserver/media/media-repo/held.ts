import { z } from "zod";

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");

/** One upload as matrix-media-repo's listing has it (its api/custom/usage.go, GetUploadsUsage). */
const heldUploadSchema = z.object({
  size_bytes: z.int().nonnegative(),
  uploaded_by: text,
  /** Lower-case hex. */
  sha256_hash: text.transform((hash) => hash.toLowerCase()),
  quarantined: z
    .boolean()
    .nullish()
    .transform((value) => value === true),
  upload_name: text,
  content_type: text,
  /** Milliseconds since 1970. */
  created_ts: z.int(),
});

export type HeldUpload = z.infer<typeof heldUploadSchema>;

/** All uploads of one server, by their MXC URIs. */
export const heldUploadsSchema = z.record(z.string(), heldUploadSchema);

/** The uploads of a server by their media IDs. */
export type HeldUploads = ReadonlyMap<string, HeldUpload>;

/** Those of a listing that are of this server. */
export function uploadsOf(serverName: string, listed: z.infer<typeof heldUploadsSchema>): HeldUploads {
  const start = `mxc://${serverName}/`;
  const held = new Map<string, HeldUpload>();
  for (const [mxc, upload] of Object.entries(listed))
    if (mxc.startsWith(start) && mxc.length > start.length) held.set(mxc.slice(start.length), upload);
  return held;
}
