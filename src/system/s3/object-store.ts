import type { Bytes } from "../bytes.ts";

/** A bucket that speaks S3, and how to get in. What is left out, the AWS SDK finds as AWS's own programs do. */
export interface ObjectStoreAddress {
  readonly bucket: string;
  /** What all names in the bucket begin with: "media/". Empty when they do not. */
  readonly prefix: string;
  /** Base address of a server that is not AWS. */
  readonly endpoint?: string;
  readonly region?: string;
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  /** The key that objects are encrypted with there, when the client has to bring it. */
  readonly customerKey?: { readonly key: string; readonly algorithm: string };
}

export interface StoredObject {
  /** Without the address's prefix. */
  readonly name: string;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly mtimeMs: number;
}

/**
 * Objects in a bucket; nothing is ever written. Each method throws `storage-failed` when the server does not answer,
 * lets nobody in, or has no such bucket; what may pass by itself is tried again first.
 */
export interface ObjectStore {
  /** For people; no secrets. */
  readonly name: string;
  /** Undefined when there is no such object. */
  look(name: string): Promise<StoredObject | undefined>;
  /** Everything whose name begins with `start` and comes after `after`, in batches, in the server's order: usually that of bytes. */
  list(start: string, after?: string): AsyncIterable<readonly StoredObject[]>;
  /**
   * An object's bytes. A connection that breaks is made anew where it broke, as long as the object is the same.
   * Throws `file-missing` when it is gone and `source-changed` when it has not `size` bytes, or becomes another one.
   */
  read(name: string, size: number): Bytes;
  /** Lets go of connections. May be called twice. */
  close(): void;
}

/** Opens buckets. Nothing is asked before it is needed. */
export interface ObjectStores {
  open(address: ObjectStoreAddress): ObjectStore;
}
