import type { Bytes } from "../bytes.ts";

/** An S3 bucket and how to access it. Settings that are left out are found by the AWS SDK in its default way. */
export interface ObjectStoreAddress {
  readonly bucket: string;
  /** The prefix of all object names: "media/". Empty when there is none. */
  readonly prefix: string;
  /** Base URL of a server other than AWS. */
  readonly endpoint?: string;
  readonly region?: string;
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  /** The key for server-side encryption with customer-provided keys (SSE-C). */
  readonly customerKey?: { readonly key: string; readonly algorithm: string };
}

export interface StoredObject {
  /** Without the prefix of the address. */
  readonly name: string;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly mtimeMs: number;
}

/**
 * Read access to the objects in a bucket. Each method throws `object-storage-failed` when the server does not respond, denies
 * access, or has no such bucket; temporary errors are retried first.
 */
export interface ObjectStore {
  /** For people; no secrets. */
  readonly name: string;
  /** Undefined when there is no such object. */
  look(name: string): Promise<StoredObject | undefined>;
  /** All objects whose name begins with `start` and sorts after `after`, in batches, in the server's order (usually by bytes). */
  list(start: string, after?: string): AsyncIterable<readonly StoredObject[]>;
  /**
   * The bytes of an object. After a broken connection, reading resumes, as long as the object is unchanged.
   * Throws `file-missing` when it does not exist, `source-changed` when its size is not `size` or it was replaced.
   */
  read(name: string, size: number): Bytes;
  /** Closes the connections. May be called twice. */
  close(): void;
}

/** Opens buckets. The first request is sent only when it is needed. */
export interface ObjectStores {
  open(address: ObjectStoreAddress): ObjectStore;
}
