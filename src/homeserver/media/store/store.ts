import { createHash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Files, WalkEntry } from "../../../system/files/files.ts";
import { BoundedList } from "./bounded-list.ts";
import { LOCAL_FOLDERS } from "./layout.ts";

export interface StoredFile {
  /** Below the store: "local_content/aa/bb/…". */
  readonly name: string;
  readonly size: number;
  readonly mode: number;
  readonly mtimeMs: number;
}

/** What of a walk is no file that can be looked at. Names are below the store. */
export interface StoreWalk {
  readonly odd?: (name: string) => void;
  /** What cannot be looked at or into. */
  readonly closed?: ((name: string) => void) | undefined;
  /** See `WalkOptions`: 1 where what is done with each file takes longer than finding it. */
  readonly threads?: 1 | 2;
}

/**
 * Every local file of a media store, sorted within each folder. Links and other oddities are told, and not followed.
 * Throws `permission-denied` or `file-failed` for what cannot be looked at, where nobody is to be told of it: it would
 * be left out.
 */
export async function* walkStore(
  store: string,
  files: Files,
  { odd, closed, threads = 2 }: StoreWalk = {},
  folders: readonly string[] = LOCAL_FOLDERS,
): AsyncIterable<StoredFile> {
  for (const folder of folders) {
    for await (const batch of files.walk(join(store, folder), undefined, { threads })) {
      for (const { name, kind, size, mode, mtimeMs } of batch) {
        const path = `${folder}/${name}`;
        if (kind === "file") yield { name: path, size, mode, mtimeMs };
        else if (kind !== "closed") odd?.(path);
        else if (closed) closed(path);
        else await throwReadError(join(store, folder, name), files);
      }
    }
  }
}

/** Throws the error for which an existing path cannot be read. */
export async function throwReadError(path: string, files: Files): Promise<never> {
  const found = await files.lstat(path);
  if (found?.kind !== "file") await files.list(path);
  throw new MigrationError("file-failed", `${path} could not be read a moment ago`);
}

export interface StoreState {
  readonly files: number;
  readonly bytes: number;
  /** Changes when a file comes, goes or changes: an input of the step that packs them. */
  readonly digest: string;
  /** What was not packed because it is no regular file. */
  readonly odd: BoundedList;
  /** What cannot be opened because its name is no UTF-8: a walk tells such bytes as U+FFFD. */
  readonly nameless: BoundedList;
  /** What cannot be looked at or into. */
  readonly closed: BoundedList;
}

export async function storeState(
  store: string,
  files: Files,
  folders: readonly string[] = LOCAL_FOLDERS,
): Promise<StoreState> {
  const tally = new StoreTally();
  for (const folder of folders)
    for await (const batch of files.walk(join(store, folder)))
      for (const entry of batch) tally.add(folder, entry);
  return tally.result();
}

/** The state of a store, from a walk through its folders. */
export class StoreTally {
  readonly #hash = createHash("sha256");
  readonly #odd = new BoundedList();
  readonly #nameless = new BoundedList();
  readonly #closed = new BoundedList();
  #files = 0;
  #bytes = 0;

  /** Counts an entry of a walk through one of the folders; returns it when it is a file. */
  add(folder: string, { name: below, kind, size, mode, mtimeMs }: WalkEntry): StoredFile | undefined {
    const name = `${folder}/${below}`;
    if (kind === "file") {
      this.#hash.update(`${name}\0${size}\0${mtimeMs}\n`);
      this.#files += 1;
      this.#bytes += size;
      return { name, size, mode, mtimeMs };
    }
    if (kind === "closed") this.#closed.add(name);
    else (name.includes("\uFFFD") ? this.#nameless : this.#odd).add(name);
    return undefined;
  }

  /** To be called once, at the end. */
  result(): StoreState {
    return {
      files: this.#files,
      bytes: this.#bytes,
      digest: this.#hash.digest("hex"),
      odd: this.#odd,
      nameless: this.#nameless,
      closed: this.#closed,
    };
  }
}
