import type { Decompressor } from "../pipeline/gzip-program.ts";
import type { Bytes } from "../pipeline/transform.ts";
import type { RecordedArtifact } from "./inventory.ts";
import type { Artifact, Part } from "./manifest.ts";

export interface ArtifactPlan {
  /** Its plain name: "customer_db_export.sql.gz". */
  readonly name: string;
  readonly format: Artifact["format"];
  /** gzip's level; 0 stores what is compressed already. */
  readonly level: number;
  readonly label: string;
  /** Size of the source in bytes, if known. */
  readonly total?: number;
}

/** Takes the parts of artifacts away as they are made, so that only a few of them are on this host's disk at a time. */
export interface PartsLeaving {
  /** Waits until another part may be begun. Throws what sending an earlier one threw. */
  room(): Promise<void>;
  /** A part that `room` was given for will not be finished. */
  giveUp(): void;
  /** A part is complete and was read back: sends it, and removes the file here once it is proven at the other place. */
  takeAway(part: Part, path: string): void;
  /** Resolves when all parts are taken away. Throws what sending them threw. */
  settled(): Promise<void>;
  /** Removes what was sent of an artifact, and first the manifest. */
  removeThere(artifact: string): Promise<void>;
  /** Whether a part is proven to be there. */
  has(part: Part): Promise<boolean>;
}

/** Where artifacts are written to: a bundle's folder, or another host. */
export interface ArtifactWriter {
  /** Whether compressible data should be compressed by an external program, if one is installed. */
  readonly usesCompressionProgram: boolean;
  /** Writes a source as an artifact, completely or not at all. An earlier artifact of that name is removed first. */
  add(plan: ArtifactPlan, source: Bytes): Promise<RecordedArtifact>;
  /** As `add`, for data that a program has compressed already; `unpack` decompresses it for verification. */
  addCompressed(
    plan: Omit<ArtifactPlan, "level" | "total">,
    source: Bytes,
    unpack?: Decompressor,
  ): Promise<RecordedArtifact>;
  /** Removes an artifact, by its plain name. Does nothing when it does not exist. */
  remove(plainName: string): Promise<void>;
}
