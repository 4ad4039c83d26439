import type { Bytes } from "../../pipeline/transform.ts";
import type { Unfinished } from "../../system/files/files.ts";

/** The source of a restore: a checked and decrypted bundle, or the old host of a direct transfer. */
export interface Delivery {
  /** Of the bundle, or of the move. */
  readonly id: string;
  /** The decompressed content of an artifact, by its plain name. Throws at the end unless all of it is what was packed. */
  content(plainName: string, label: string): Bytes;
  /** Writes the same into an unfinished file. Left out where no dump has to be written to disk before it is restored. */
  write?(plainName: string, label: string, file: Unfinished): Promise<void>;
}
