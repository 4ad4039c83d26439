import { z } from "zod";

/** What `synlift receive` and its clients say to each other, beside the tus protocol (tus.io/protocols/resumable-upload). */

export const TUS_VERSION = "1.0.0";
export const OFFSET_TYPE = "application/offset+octet-stream";
/** tus, checksum extension: what arrived has another hash than was declared. */
export const CHECKSUM_MISMATCH = 460;

/** Why a request was refused. New ones may be added. */
export type ProblemCode =
  | "invitation"
  | "request"
  | "name"
  | "not-found"
  | "offset"
  | "busy"
  | "too-large"
  | "limit"
  | "disk-full"
  | "manifest"
  | "hash"
  | "damaged"
  | "failed";

export const problemSchema = z.object({ error: z.string(), message: z.string() });

/**
 * "partial": more bytes are expected; "checking": all have come, and are read back; "waiting": a manifest whose files have not all
 * arrived; "arrived": size and hash were compared.
 */
const stateSchema = z.enum(["partial", "checking", "waiting", "arrived"]);
export type FileState = z.infer<typeof stateSchema>;

export const statusSchema = z.object({
  /** The customer's name. */
  name: z.string(),
  /** ISO 8601. */
  expires: z.string(),
  /** Bytes that may be stored, and are stored or announced. */
  limit: z.number(),
  used: z.number(),
  files: z.array(
    z.object({
      name: z.string(),
      state: stateSchema,
      size: z.number(),
      received: z.number(),
      sha256: z.string(),
    }),
  ),
  /** What the manifest lists and has not arrived; undefined while there is no manifest. */
  missing: z.array(z.object({ name: z.string(), size: z.number(), sha256: z.string() })).optional(),
  /** The bundle that has arrived completely. */
  complete: z.object({ bundle: z.string(), subject: z.string(), at: z.string() }).optional(),
  /** What is wrong, for people. */
  problems: z.array(z.object({ name: z.string(), message: z.string() })),
});
export type ReceiverStatus = z.infer<typeof statusSchema>;

/** A line of the reply to a request for proof: signs of life, then the result. */
export const proofLineSchema = z.union([
  z.object({ checked: z.number() }),
  z.object({
    size: z.number(),
    sha256: z.string(),
    state: stateSchema,
    /** Why a manifest waits. */
    message: z.string().optional(),
  }),
  problemSchema,
]);
export type ProofLine = z.infer<typeof proofLineSchema>;

/** The id of an upload: a file's name and the first digits of its hash. */
export const uploadId = ({ name, sha256 }: { readonly name: string; readonly sha256: string }): string =>
  `${name}.${sha256.slice(0, 24)}`;
