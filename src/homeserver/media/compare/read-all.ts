import { createHash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { drain } from "../../../pipeline/transform.ts";
import type { Files } from "../../../system/files/files.ts";
import { quoteLiteral } from "../../../system/query.ts";
import { findInProviders } from "../providers/provider.ts";
import { BoundedList } from "../store/bounded-list.ts";
import { LOCAL_FOLDERS, uploadPath } from "../store/layout.ts";
import { bytewise, hasHashes, type UploadRow } from "../store/rows.ts";
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
  for await (const { key, length, sha256 } of pagesOf(reading)) {
    const path = uploadPath(key);
    if (path === undefined) continue;
    const stored = await readFile(path, reading, tell, unreadable);
    const read =
      stored?.size === length ? stored : await readProvided(path, length!, reading, tell, unreadable);
    if (!read || read.size !== length || !sha256) continue;
    hashed += 1;
    if (read.sha256 !== sha256.toLowerCase()) changed.add(key);
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

/** Rows in one question. */
const PAGE = 10_000;

/** Page by page: reading takes hours, and no query should stay open for so long in a database that is in use. */
async function* pagesOf({ session, signal }: Comparable): AsyncIterable<UploadRow> {
  const sha256 = (await hasHashes(session, "local_media_repository")) ? "sha256" : "NULL";
  const id = bytewise(session, "media_id");
  for (let after = ""; ;) {
    const page = await session.all<UploadRow>(`
      SELECT media_id AS key, media_length AS length, ${sha256} AS sha256 FROM local_media_repository
      WHERE url_cache IS NULL AND media_length IS NOT NULL AND ${id} > ${quoteLiteral(after)} ORDER BY ${id} LIMIT ${PAGE}`);
    for (const row of page) {
      signal.throwIfAborted();
      yield row;
    }
    if (page.length < PAGE) return;
    after = page.at(-1)!.key;
  }
}

/** What the store does not have, from the first storage provider that has it. */
async function readProvided(
  path: string,
  length: number,
  { providers, signal }: Comparable,
  tell: (bytes: number) => void,
  unreadable: BoundedList,
): Promise<{ size: number; sha256: string } | undefined> {
  const found = await findInProviders(path, length, providers);
  if (!found) return undefined;
  const hash = createHash("sha256");
  try {
    for await (const chunk of found.provider.read(found.file)) {
      signal.throwIfAborted();
      hash.update(chunk);
      tell(chunk.length);
    }
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code === "object-storage-failed") throw error;
    unreadable.add(path);
    return undefined;
  }
  return { size: length, sha256: hash.digest("hex") };
}

/** Undefined for what is not there or is no regular file, and for what cannot be read, which is noted. */
async function readFile(
  path: string,
  { store, files, signal }: Comparable,
  tell: (bytes: number) => void,
  unreadable: BoundedList,
): Promise<{ size: number; sha256: string } | undefined> {
  const hash = createHash("sha256");
  let size = 0;
  try {
    // Reading a pipe would block, and a link may point anywhere.
    if ((await files.lstat(join(store, path)))?.kind !== "file") return undefined;
    for await (const chunk of files.read(join(store, path))) {
      signal.throwIfAborted();
      hash.update(chunk);
      size += chunk.length;
      tell(chunk.length);
    }
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    if (error.code !== "file-missing") unreadable.add(path);
    return undefined;
  }
  return { size, sha256: hash.digest("hex") };
}
