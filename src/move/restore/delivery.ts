import type { Bytes } from "../../pipeline/stage.ts";
import type { Unfinished } from "../../system/files/files.ts";

/** Where what is restored comes from: a bundle that was checked and opened, or another host that sends it now. */
export interface Delivery {
  /** Of the bundle, or of the move. */
  readonly id: string;
  /** What it holds under a plain name, decompressed. It ends well only if all of it is what was packed. */
  content(plainName: string, label: string): Bytes;
  /** Writes the same into a file, which is not finished yet. Left out where no dump comes that lies there before it goes in. */
  write?(plainName: string, label: string, file: Unfinished): Promise<void>;
}
