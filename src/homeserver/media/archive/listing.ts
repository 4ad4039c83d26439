import { join } from "node:path";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Files } from "../../../system/files/files.ts";
import type { QuerySession } from "../../../system/query.ts";
import { needsProvider } from "../providers/lookup.ts";
import { findInProviders, type ReadableProvider } from "../providers/provider.ts";
import { uploadIdAt, uploadPath, UPLOADS } from "../store/layout.ts";
import { isEmpty, isInRange, type RowRange } from "../providers/row-range.ts";
import type { StoredFile } from "../store/store.ts";
import type { ArchiveItem } from "./items.ts";
import { type Upload, uploadsAfter } from "./upload.ts";

/** An upload that is to be packed. */
export interface FoundUpload extends ArchiveItem {
  /** The file in the store; undefined for one that only a storage provider has. */
  readonly file: StoredFile | undefined;
}

export interface UploadListing {
  readonly session: QuerySession;
  readonly store: string;
  readonly files: Files;
  readonly signal: AbortSignal;
  /** How a file is read, by its name below the store; `alone` does it when nobody else reads it at the same time. */
  readonly read: (name: string, alone: () => Bytes, elsewhere: boolean) => Bytes;
  /** Files whose last change (milliseconds since 1970) it refuses are left for another archive. */
  readonly isSettled: (mtimeMs: number) => boolean;
  readonly providers: readonly ReadableProvider[];
}

/**
 * Those files of a walk through the store that are uploads with a row, in the order of their ids. Both are read side by
 * side: memory stays flat. Ids that were only reserved have no file; files without a row have no name to go by.
 */
export async function* storedUploads(
  walked: AsyncIterable<StoredFile>,
  { session, store, files, signal, read, isSettled, providers }: UploadListing,
): AsyncIterable<FoundUpload> {
  const rows = uploadsAfter(session, "")[Symbol.asyncIterator]();
  let row: Upload | undefined;
  try {
    for await (const file of walked) {
      if (!file.name.startsWith(`${UPLOADS}/`)) return;
      const id = uploadIdAt(file.name.slice(UPLOADS.length + 1));
      if (id === undefined) continue;
      while (row === undefined || row.mediaId < id) {
        signal.throwIfAborted();
        const next = await rows.next();
        if (next.done === true) return;
        row = next.value;
      }
      if (row.mediaId !== id || row.length === null || !isSettled(file.mtimeMs)) continue;
      if (file.size !== row.length && (await findInProviders(file.name, row.length, providers))) continue;
      const path = join(store, file.name);
      yield {
        upload: row,
        size: file.size,
        file,
        content: () => read(file.name, () => files.read(path), false),
        changed: () => describeFileChange(file, path, files),
      };
    }
  } finally {
    await rows.return?.();
  }
}

/** Which of the uploads that only storage providers have. */
export interface ProviderRange {
  /** Those whose ids come after it. */
  readonly after: string;
  /** Those with these rows. */
  readonly range: RowRange;
}

/** Uploads that the store does not have, or has with another length, and a storage provider has, in the order of their ids. */
export async function* providedUploads(
  { session, store, files, signal, read, providers }: UploadListing,
  { after, range }: ProviderRange,
): AsyncIterable<FoundUpload> {
  if (providers.length === 0 || isEmpty(range)) return;
  for await (const upload of uploadsAfter(session, after)) {
    signal.throwIfAborted();
    const path = uploadPath(upload.mediaId);
    if (path === undefined || upload.length === null || !isInRange(range, upload.createdTs)) continue;
    if (!needsProvider(await files.lstat(join(store, path)), upload.length)) continue;
    const located = await findInProviders(path, upload.length, providers);
    if (!located) continue;
    const { file, provider } = located;
    yield {
      upload,
      size: file.size,
      file: undefined,
      content: () => read(path, () => provider.read(file), true),
    };
  }
}

async function describeFileChange(file: StoredFile, path: string, files: Files): Promise<string | undefined> {
  const now = await files.lstat(path);
  if (now?.kind !== "file") return `${path} no longer exists`;
  return now.size === file.size && now.mtimeMs === file.mtimeMs
    ? undefined
    : `${path} changed while it was read`;
}
