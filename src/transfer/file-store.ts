import type { Digest } from "../pipeline/digest.ts";
import type { Bytes } from "../system/bytes.ts";
import type { Attempt, LocalFile, Proof, WantedFile } from "./remote.ts";

/** A place that knows files, one folder of them: what `storeRemote` needs to make a remote of it. */
export interface FileStore {
  /** For people. */
  readonly address: string;
  /** Whether a partial file can be continued. */
  readonly appends: boolean;
  /** The names and sizes of all regular files. What stands under other names than these is left alone. */
  list(signal: AbortSignal): Promise<ReadonlyMap<string, number>>;
  /**
   * Writes the bytes of a local file from an offset to its end to a file there, which ends at that offset; from 0 it is created.
   * Resolves when they are as safe as the place can make them.
   */
  write(name: string, source: LocalFile & { readonly from: number }, attempt: Attempt): Promise<void>;
  /** The bytes of a file from an offset. Each chunk is valid only until the next one is requested. */
  read(name: string, from: number, signal: AbortSignal): Bytes;
  /**
   * Reads the file at the place to its end, past its caches where that is possible. What differs from the wanted hash was read back.
   */
  digest(
    name: string,
    /** `path`: the file here that it was sent from. */
    wanted: WantedFile & { readonly path?: string },
    attempt: Attempt,
  ): Promise<Digest & { readonly proof: Proof }>;
  /** Replaces a file of that name. */
  rename(from: string, to: string, signal: AbortSignal): Promise<void>;
  /** Does nothing when there is none. */
  remove(name: string, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
