import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { type Digest, digestOf } from "../../../pipeline/digest.ts";
import { drain } from "../../../pipeline/transform.ts";
import type { Files } from "../../../system/files/files.ts";
import { findInProviders } from "../providers/provider.ts";
import { BoundedList } from "../store/bounded-list.ts";
import { LOCAL_FOLDERS, uploadPath } from "../store/layout.ts";
import { columnOrNull, uploadPages } from "../store/rows.ts";
import type { Comparable } from "./uploads.ts";

export interface ReadResult {
  /** Uploads whose hash was compared with their row's. */
  readonly hashed: number;
  /** Ids of uploads of the right size whose hash is not the one in their row. */
  readonly changed: BoundedList;
  /** What cannot be read, below the store. */
  readonly unreadable: BoundedList;
  /** Files among the thumbnails, and what is no regular file there. */
  readonly thumbnails: { readonly files: number; readonly bytes: number };
  readonly odd: BoundedList;
}

/**
 * Reads every local file to its end: uploads by their rows, hashed where their row has a hash, then all thumbnails.
 * What is not there, or has another size than in its row, is left to the comparison of rows and files. `tell` is
 * given the bytes of each piece that was read.
 */
export async function readAll(reading: Comparable, tell: (bytes: number) => void): Promise<ReadResult> {
  const { files, store, signal } = reading;
  const unreadable = new BoundedList();
  const changed = new BoundedList();
  const odd = new BoundedList();
  const thumbnails = { files: 0, bytes: 0 };
  let hashed = 0;
  const { session } = reading;
  const columns = `media_length AS length, ${await columnOrNull(session, "sha256")} AS sha256`;
  const rows = uploadPages<HashedRow>(session, columns, { where: "media_length IS NOT NULL", signal });
  for await (const { media_id: id, length, sha256 } of rows) {
    const path = uploadPath(id);
    if (path === undefined) continue;
    const stored = await readFile(path, reading, tell, unreadable);
    const read =
      stored?.size === length ? stored : await readProvided(path, length, reading, tell, unreadable);
    if (!read || read.size !== length || !sha256) continue;
    hashed += 1;
    if (read.sha256 !== sha256.toLowerCase()) changed.add(id);
  }
  const [, folder] = LOCAL_FOLDERS;
  for await (const batch of files.walk(join(store, folder), signal)) {
    for (const { name, kind, size } of batch) {
      const path = join(folder, name);
      if (kind === "closed") unreadable.add(path);
      else if (kind !== "file") odd.add(path);
      else {
        thumbnails.files += 1;
        thumbnails.bytes += size;
        await readFile(path, reading, tell, unreadable);
      }
    }
  }
  return { hashed, changed, unreadable, thumbnails, odd };
}

interface HashedRow {
  readonly media_id: string;
  readonly length: number;
  readonly sha256: string | null;
}

/**
 * In the place of `readAll`, what takes no time: whether one file can be read, and whether the first folders of the
 * thumbnails are folders.
 */
export async function quickCheck(
  store: string,
  example: string | undefined,
  files: Files,
): Promise<Pick<ReadResult, "unreadable" | "odd">> {
  const unreadable = new BoundedList();
  const odd = new BoundedList();
  const attempt = async (path: string, act: () => Promise<void>) => {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      if (error.code !== "file-missing") unreadable.add(path);
    }
  };
  if (example !== undefined) await attempt(example, () => drain(files.read(join(store, example), { to: 1 })));
  const [, folder] = LOCAL_FOLDERS;
  await attempt(folder, async () => {
    for (const name of await files.list(join(store, folder))) {
      const entry = await files.lstat(join(store, folder, name));
      if (entry?.kind === "link" || entry?.kind === "other") odd.add(join(folder, name));
    }
  });
  return { unreadable, odd };
}

/** What the store does not have, from the first storage provider that has it. */
async function readProvided(
  path: string,
  length: number,
  { providers, signal }: Comparable,
  tell: (bytes: number) => void,
  unreadable: BoundedList,
): Promise<Digest | undefined> {
  const found = await findInProviders(path, length, providers);
  if (!found) return undefined;
  try {
    const { sha256 } = await digestOf(found.provider.read(found.file), (bytes) => {
      signal.throwIfAborted();
      tell(bytes);
    });
    return { size: length, sha256 };
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code === "object-storage-failed") throw error;
    unreadable.add(path);
    return undefined;
  }
}

/** Undefined for what is not there or is no regular file, and for what cannot be read, which is noted. */
async function readFile(
  path: string,
  { store, files, signal }: Comparable,
  tell: (bytes: number) => void,
  unreadable: BoundedList,
): Promise<Digest | undefined> {
  try {
    // Reading a pipe would block, and a link may point anywhere.
    if ((await files.lstat(join(store, path)))?.kind !== "file") return undefined;
    return await digestOf(files.read(join(store, path)), (bytes) => {
      signal.throwIfAborted();
      tell(bytes);
    });
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    if (error.code !== "file-missing") unreadable.add(path);
    return undefined;
  }
}
