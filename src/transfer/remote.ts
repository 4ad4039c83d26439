import type { Digest } from "../pipeline/digest.ts";

/** A file of a bundle, by its plain name. */
export interface WantedFile extends Digest {
  readonly name: string;
}

/** A file here that is to be sent, with the size and hash that it must have. */
export interface LocalFile extends WantedFile {
  readonly path: string;
}

/**
 * How the copy at the remote was compared with the source, always with all of its bytes: "hashed-there" when a program at the
 * remote read its file and computed the hash, "read-back" when the file was read back from the remote and hashed here.
 */
export type Proof = "hashed-there" | "read-back";

/** What a call of a remote gets besides its subject. */
export interface Attempt {
  /** Ends the call; its reason is thrown. */
  readonly signal: AbortSignal;
  /** The transfer begins behind so many bytes of the file, which an earlier attempt transferred. */
  readonly resumed: (from: number) => void;
  /** More bytes of the file were transferred. A call that is silent for long is ended through `signal`. */
  readonly moved: (bytes: number) => void;
  /** More bytes were read to compare hashes; 0 is a sign of life. */
  readonly checked: (bytes: number) => void;
}

/**
 * Where the files of a bundle are sent to, or fetched from. Every call is one attempt, and may be repeated: it continues where
 * the last one stopped, also that of a process that was killed. Names are those of files in a bundle (`SAFE_NAME`), without folders.
 *
 * `transfer-failed` means that another attempt may succeed; every other error is final. After `transfer-failed` a remote is closed,
 * and another one is opened.
 */
export interface Remote {
  /** The names and sizes of the complete files. Partial files are not listed. */
  have(signal: AbortSignal): Promise<ReadonlyMap<string, number>>;
  /**
   * Sends a file, and resolves when it has its name there, and its size and hash there were compared. Until then it has a
   * partial name that contains its hash, so that another source never continues it. An earlier file of that name is replaced. Does
   * nothing but compare when the file is there already. Throws `bundle-damaged` when the file here no longer has the
   * given hash, `transfer-failed`, `disk-full`, `permission-denied`.
   */
  put(file: LocalFile, attempt: Attempt): Promise<Proof>;
  /** Compares size and hash of a file there; undefined when it is missing or differs. */
  prove(file: WantedFile, attempt: Attempt): Promise<Proof | undefined>;
  /**
   * Fetches a file into a folder here, and resolves when it has its name, and its size and hash were compared. Throws `file-missing`,
   * `bundle-damaged` when the file there differs from what is wanted, `transfer-failed`, `disk-full`.
   */
  get(file: WantedFile, folder: string, attempt: Attempt): Promise<void>;
  /** A small file whole; undefined when it is missing. Throws `bundle-damaged` when it is longer than `limit` bytes. */
  read(name: string, limit: number, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Removes a file and what is left of it under partial names. Does nothing when there is none. */
  remove(name: string, signal: AbortSignal): Promise<void>;
  /** May be called twice, and while a call is running. */
  close(): Promise<void>;
}

/** How a remote is reached. */
export interface Destination {
  /** For people, and to recognise it again: "sftp://new.example.org/srv/move". No secret. */
  readonly address: string;
  /**
   * Connects. With `create`, a folder that is missing is made. Throws `connection-failed` when it cannot be reached,
   * `file-missing`, `permission-denied`, `program-missing`.
   */
  readonly open: (signal: AbortSignal, options: { readonly create: boolean }) => Promise<Remote>;
}
