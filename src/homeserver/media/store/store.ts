import { createHash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
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
  const hash = createHash("sha256");
  const [odd, nameless, closed] = [new BoundedList(), new BoundedList(), new BoundedList()];
  const tells = {
    odd(name: string) {
      (name.includes("\uFFFD") ? nameless : odd).add(name);
    },
    closed(name: string) {
      closed.add(name);
    },
  };
  let count = 0;
  let bytes = 0;
  for await (const { name, size, mtimeMs } of walkStore(store, files, tells, folders)) {
    hash.update(`${name}\0${size}\0${mtimeMs}\n`);
    count += 1;
    bytes += size;
  }
  return { files: count, bytes, digest: hash.digest("hex"), odd, nameless, closed };
}
