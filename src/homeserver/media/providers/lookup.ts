import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Entry, Files } from "../../../system/files/files.ts";
import { type QuerySession, quoteLiteral } from "../../../system/query.ts";
import { uploadIdAt, uploadPath } from "../store/layout.ts";
import { columnOrNull, uploadPages } from "../store/rows.ts";
import { findInProviders, type LocatedFile, type ReadableProvider } from "./provider.ts";
import { ALL_ROWS, rangeCondition, type RowRange } from "./row-range.ts";

/** A file in a provider; with the hash that its row has, in lower-case hex, where there is one. */
export interface ProvidedFile extends LocatedFile {
  readonly sha256?: string | undefined;
}

export interface ProviderLookup {
  readonly session: QuerySession;
  readonly store: string;
  readonly providers: readonly ReadableProvider[];
  readonly files: Files;
  readonly signal: AbortSignal;
}

/**
 * Files that rows ask for, that the store does not have, or has with another length, and that a storage provider has:
 * uploads in the order of their ids, then thumbnails. With `range`, only what those rows ask for. What a provider
 * holds beyond the rows was deleted by somebody, and stays there.
 */
export async function* providedFiles(from: ProviderLookup, range = ALL_ROWS): AsyncIterable<ProvidedFile> {
  if (from.providers.length === 0) return;
  yield* providedUploads(from, range);
  for (const provider of from.providers) yield* providedThumbnails(from, provider, range);
}

async function* providedUploads(
  { session, store, providers, files, signal }: ProviderLookup,
  range: RowRange,
): AsyncIterable<ProvidedFile> {
  const columns = `media_length AS length, ${await columnOrNull(session, "sha256")} AS sha256`;
  const rows = uploadPages<{ media_id: string; length: number; sha256: string | null }>(session, columns, {
    where: `media_length IS NOT NULL AND ${rangeCondition(range)}`,
    signal,
  });
  for await (const row of rows) {
    const path = uploadPath(row.media_id);
    if (path === undefined || !needsProvider(await files.lstat(join(store, path)), row.length)) continue;
    const located = await findInProviders(path, row.length, providers);
    if (located) yield { ...located, sha256: row.sha256?.toLowerCase() };
  }
}

/** Whether an upload of that length has to be looked for in storage providers, by what the store has in its place. */
export const needsProvider = (found: Entry | undefined, length: number): boolean =>
  !found || (found.kind === "file" && found.size !== length);

/** Of uploads that have a row. Their own rows are not asked: Synapse makes a thumbnail anew from any that fits. */
async function* providedThumbnails(
  { session, store, files, signal }: ProviderLookup,
  provider: ReadableProvider,
  range: RowRange,
): AsyncIterable<ProvidedFile> {
  for await (const batch of provider.list(THUMBNAILS, signal)) {
    const ids = [...new Set(batch.flatMap(({ name }) => thumbnailOf(name) ?? []))];
    if (ids.length === 0) continue;
    const rows = await session.all<{ id: string }>(`
      SELECT media_id AS id FROM local_media_repository
      WHERE url_cache IS NULL AND ${rangeCondition(range)} AND media_id IN (${ids.map(quoteLiteral).join(", ")})`);
    const known = new Set(rows.map((row) => row.id));
    for (const file of batch) {
      signal.throwIfAborted();
      if (!known.has(thumbnailOf(file.name) ?? "") || (await files.lstat(join(store, file.name)))) continue;
      yield { provider, file };
    }
  }
}

const THUMBNAILS = "local_thumbnails";

/** "local_thumbnails/aa/bb/rest/32-32-image-png-crop" is of the upload "aabbrest". */
function thumbnailOf(name: string): string | undefined {
  const [folder, ...parts] = name.split("/");
  return folder === THUMBNAILS && parts.length === 4 ? uploadIdAt(parts.slice(0, 3).join("/")) : undefined;
}

/** What is read ahead: waiting for each small file in turn would take a day for a million. */
const READ_AHEAD = { files: 16, bytes: 32 * 1024 * 1024, each: 1024 * 1024 };

/** Each file with its bytes; small ones are fetched while those before them are being packed. What is gone by now is left out. */
export async function* fetchAhead(
  provided: AsyncIterable<ProvidedFile>,
): AsyncIterable<{ readonly located: ProvidedFile; readonly content: () => Bytes }> {
  const source = provided[Symbol.asyncIterator]();
  const waiting: {
    readonly located: ProvidedFile;
    readonly small?: Promise<readonly Uint8Array[] | undefined>;
  }[] = [];
  let held = 0;
  let ended = false;
  try {
    for (;;) {
      while (!ended && waiting.length < READ_AHEAD.files && held < READ_AHEAD.bytes) {
        const next = await source.next();
        if (next.done === true) {
          ended = true;
          break;
        }
        const { provider, file } = next.value;
        if (file.size > READ_AHEAD.each) waiting.push({ located: next.value });
        else {
          held += file.size;
          const small = wholeOf(provider.read(file));
          small.catch(() => undefined);
          waiting.push({ located: next.value, small });
        }
      }
      const first = waiting.shift();
      if (!first) return;
      const { small } = first;
      if (!small)
        yield { located: first.located, content: () => first.located.provider.read(first.located.file) };
      else {
        const chunks = await small;
        held -= first.located.file.size;
        if (chunks) yield { located: first.located, content: () => given(chunks) };
      }
    }
  } finally {
    await source.return?.();
    await Promise.allSettled(waiting.flatMap(({ small }) => small ?? []));
  }
}

async function wholeOf(bytes: Bytes): Promise<readonly Uint8Array[] | undefined> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of bytes) chunks.push(chunk);
    return chunks;
  } catch (error) {
    if (error instanceof MigrationError && error.code === "file-missing") return undefined;
    throw error;
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- a stream is asked for
async function* given(chunks: readonly Uint8Array[]): Bytes {
  yield* chunks;
}
