import type { Unpack } from "../pipeline/gzip-program.ts";
import type { Bytes } from "../pipeline/stage.ts";
import type { Recorded } from "./inventory.ts";
import type { Artifact } from "./manifest.ts";

export interface ArtifactPlan {
  /** Its plain name: "customer_db_export.sql.gz". */
  readonly name: string;
  readonly format: Artifact["format"];
  /** gzip's level; 0 stores what is compressed already. */
  readonly level: number;
  readonly label: string;
  /** Bytes of the source, when somebody knows. */
  readonly total?: number;
}

/** Where artifacts go: into a bundle's folder, or to another host. */
export interface ArtifactWriter {
  /** Whether what can be made much smaller is to come through a program that does so, where there is one. */
  readonly presses: boolean;
  /** Takes all of a source, whole or not at all. Any earlier artifact of that name goes first. */
  add(plan: ArtifactPlan, source: Bytes): Promise<Recorded>;
  /** As `add`, for what a program has compressed already; `unpack` is used to look at it, instead of ours. */
  addPressed(plan: Omit<ArtifactPlan, "level" | "total">, source: Bytes, unpack?: Unpack): Promise<Recorded>;
  /** Takes an artifact away, by its plain name; nothing happens when there is none. */
  remove(plainName: string): Promise<void>;
}
