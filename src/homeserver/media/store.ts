import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Files } from "../../system/files.ts";
import { LOCAL_FOLDERS } from "./layout.ts";

export interface StoredFile {
  /** Below the store: "local_content/aa/bb/…". */
  readonly name: string;
  readonly size: number;
  readonly mode: number;
  readonly mtimeMs: number;
}

/** Every local file of a media store, sorted within each folder. Links and other oddities are told, and not followed. */
export async function* walkStore(
  store: string,
  files: Files,
  odd: (name: string) => void = () => undefined,
): AsyncIterable<StoredFile> {
  for (const folder of LOCAL_FOLDERS) {
    if (await files.look(join(store, folder))) yield* walk(store, folder, files, odd);
  }
}

async function* walk(
  store: string,
  folder: string,
  files: Files,
  odd: (name: string) => void,
): AsyncIterable<StoredFile> {
  for (const name of await files.list(join(store, folder))) {
    const path = `${folder}/${name}`;
    const entry = await files.look(join(store, path));
    if (entry?.kind === "folder") yield* walk(store, path, files, odd);
    else if (entry?.kind === "file")
      yield { name: path, size: entry.size, mode: entry.mode, mtimeMs: entry.mtimeMs };
    else if (entry) odd(path);
  }
}

export interface StoreState {
  readonly files: number;
  readonly bytes: number;
  /** Changes when a file comes, goes or changes: an input of the step that packs them. */
  readonly digest: string;
  /** What was not packed because it is no regular file. */
  readonly odd: readonly string[];
}

export async function storeState(store: string, files: Files): Promise<StoreState> {
  const hash = createHash("sha256");
  const odd: string[] = [];
  let count = 0;
  let bytes = 0;
  for await (const { name, size, mtimeMs } of walkStore(store, files, (path) => odd.push(path))) {
    hash.update(`${name}\0${size}\0${mtimeMs}\n`);
    count += 1;
    bytes += size;
  }
  return { files: count, bytes, digest: hash.digest("hex"), odd };
}
