import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { reportDigest } from "../../../pipeline/digest.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Entry, Files, SmallFile } from "../../../system/files/files.ts";
import type { QuerySession } from "../../../system/query.ts";
import { fetchAhead, type ProvidedFile, providedFiles } from "../providers/lookup.ts";
import { findInProviders, type ReadableProvider } from "../providers/provider.ts";
import { ALL_ROWS, type RowRange } from "../providers/row-range.ts";
import { BoundedList } from "../store/bounded-list.ts";
import type { StoredFile } from "../store/store.ts";
import { joinUploadRows, uploadIdOf } from "./join-rows.ts";
import type { MediaEntry } from "./shared-reads.ts";
import { PackedListReader, type SavedList } from "./packed-list.ts";
import { readSmallFiles } from "./small-reads.ts";
import { openStable, type ReadOutcome } from "./stable-read.ts";

export interface EntrySources {
  readonly session: QuerySession;
  readonly store: string;
  readonly providers: readonly ReadableProvider[];
  readonly files: Files;
  readonly signal: AbortSignal;
  readonly noticed: PackingReport;
}

/** So many are named in a journal; of more only the number is known. */
const NAMED = 1000;

/** So many are held to be named in an inventory. */
const HELD = 100_000;

/** Statistics on the files that were packed, and those that could not be read. */
export class PackingReport {
  #files = 0;
  #bytes = 0;
  #provided = 0;
  readonly #changed = new BoundedList(NAMED);
  readonly #unreadable = new BoundedList(HELD);
  #passed = 0;
  readonly #left = { files: 0, bytes: 0 };

  /** A file of the store that is there and could not be read; `left` when nothing of it is in the archive. */
  addUnreadable({ name, size }: Pick<StoredFile, "name" | "size">, skipped: boolean): void {
    this.#unreadable.add(name);
    if (!skipped) return;
    this.#left.files += 1;
    this.#left.bytes += size;
  }

  /** Counts a file of the store, whether it was packed or not. */
  addSeen({ size }: Pick<StoredFile, "size">): void {
    this.#passed += size;
  }

  /** Bytes of the files of the store that were seen. */
  get seenBytes(): number {
    return this.#passed;
  }

  /** Names below the store, the first hundred thousand. */
  get unreadable(): readonly string[] {
    return this.#unreadable.some;
  }

  get unreadableCount(): number {
    return this.#unreadable.count;
  }

  /** What of it is not in the archive at all. */
  get left(): { readonly files: number; readonly bytes: number } {
    return this.#left;
  }

  add({ name, size }: Pick<StoredFile, "name" | "size">, how: { changed: boolean; provided: boolean }): void {
    this.#files += 1;
    this.#bytes += size;
    if (how.provided) this.#provided += 1;
    if (how.changed) this.#changed.add(uploadIdOf(name) ?? name);
  }

  /**
   * For a journal. `changed` has the ids of uploads whose hash is not the one in their row, `unreadable` the names of
   * files that could not be read; of each the first thousand.
   */
  outcome(): {
    files: number;
    bytes: number;
    provided: number;
    changed: readonly string[];
    changedCount: number;
    unreadable: readonly string[];
    unreadableCount: number;
  } {
    return {
      files: this.#files,
      bytes: this.#bytes,
      provided: this.#provided,
      changed: this.#changed.some,
      changedCount: this.#changed.count,
      unreadable: this.#unreadable.some.slice(0, NAMED),
      unreadableCount: this.#unreadable.count,
    };
  }
}

/** What of a store goes into an archive. */
export interface EntryFilter {
  /** Files whose last change (milliseconds since 1970) it refuses are left for another archive. */
  readonly isSettled?: (mtimeMs: number) => boolean;
  /** Only what these rows ask for is looked for in providers. */
  readonly range?: RowRange;
  /** There is no later archive: a file that changes while it is read is then an error. */
  readonly last?: boolean;
  /** What the receiver has already: of the providers' files, these are left out. Those of the store were left out of the walk. */
  readonly already?: SavedList | undefined;
}

/**
 * Files of the store as they are at this moment, then those that only a storage provider has, or has as long as their
 * rows say. `packed` is called for each file of the store that went in as it was found. One that is gone by now is left out; one that is written to
 * meanwhile goes in and is not told of, so that a later archive, whose word counts, has it again; so is one that
 * cannot be read, which is noticed. Throws `source-changed` for one that is written to when nothing comes later.
 */
export async function* mediaEntries(
  walked: AsyncIterable<StoredFile>,
  from: EntrySources,
  packed: (file: StoredFile) => Promise<void>,
  { isSettled = () => true, range = ALL_ROWS, last = false, already }: EntryFilter,
): AsyncIterable<MediaEntry> {
  const { files, store, session, providers, noticed, signal } = from;
  const joined = joinUploadRows(walked, session);
  for await (const { item, read, hold } of readSmallFiles(joined, ({ file }) => file, from)) {
    signal.throwIfAborted();
    if (read?.outcome === "gone") continue;
    const whole = read?.outcome === "read" ? read : undefined;
    const { length, sha256 } = item;
    const { name } = item.file;
    // The walk is ahead of the packing: with the server running, a file may be gone by now.
    const found = whole ?? (await lookAtFile(join(store, name), files));
    if (found === undefined) continue;
    const { size, mode, mtimeMs } = found;
    const file = { name, size, mode, mtimeMs };
    noticed.addSeen(file);
    if (!isSettled(mtimeMs)) continue;
    if (length !== undefined && size !== length && (await findInProviders(name, length, providers))) {
      // The provider has the complete upload, which is packed below: this file is not needed.
      await packed(file);
      continue;
    }
    if (whole) {
      yield wholeEntry(file, whole, hold);
      noticed.add(file, { changed: sha256 !== undefined && sha256 !== whole.sha256, provided: false });
      await packed(file);
      continue;
    }
    let reading: ReadOutcome | undefined;
    const tell = (how: ReadOutcome) => (reading = how);
    const opened = await openStable(file, { files, store, sha256, tell });
    if (!opened) {
      if (reading === "unreadable") noticed.addUnreadable(file, true);
      continue;
    }
    try {
      yield { ...file, content: opened.content, fault: () => faultOf(reading, join(store, name)) };
    } finally {
      await opened.end();
    }
    if (reading === "moving" && last) throw changedWhileRead(join(store, name));
    if (reading === "unreadable") noticed.addUnreadable(file, false);
    noticed.add(file, { changed: reading === "changed", provided: false });
    if (reading !== "moving" && reading !== "unreadable") await packed(file);
  }
  const provided = providedFiles(from, range);
  const due = already ? notReceived(provided, already, files) : provided;
  for await (const { located, content } of fetchAhead(due)) {
    const { file, sha256 } = located;
    let changed = false;
    const tell = (is: boolean) => (changed = is);
    yield { ...file, mode: 0o640, elsewhere: true, content: () => hashed(content(), sha256, tell) };
    noticed.add(file, { changed, provided: true });
  }
}

/** The files of one provider come in the order of a walk: uploads, then thumbnails. */
async function* notReceived(
  provided: AsyncIterable<ProvidedFile>,
  already: SavedList,
  files: Files,
): AsyncIterable<ProvidedFile> {
  const readers = new Map<ReadableProvider, PackedListReader>();
  try {
    for await (const one of provided) {
      const reader = readers.get(one.provider) ?? new PackedListReader(already, files);
      readers.set(one.provider, reader);
      if (!(await reader.holds({ ...one.file, mode: 0 }))) yield one;
    }
  } finally {
    for (const reader of readers.values()) await reader.close();
  }
}

/** Undefined for what is not there, or no regular file. */
async function lookAtFile(path: string, files: Files): Promise<Entry | undefined> {
  const found = await files.lstat(path);
  return found?.kind === "file" ? found : undefined;
}

/** A file that was read whole, and was found unchanged after that. */
const wholeEntry = (
  file: StoredFile,
  { size, mtimeMs, content, sha256 }: SmallFile,
  hold: () => () => void,
): MediaEntry => ({
  ...file,
  whole: () => content,
  // The content is overwritten when its turn is over; a stream is used longer.
  content: () => chunksOf(Uint8Array.from(content)),
  share: () => ({ size, mtimeMs, content, sha256, release: hold() }),
});

async function* chunksOf(bytes: Uint8Array): Bytes {
  if (bytes.length > 0) yield await Promise.resolve(bytes);
}

/** Whoever reads along has the same bytes, and with them the zeros that fill up what is missing. */
function faultOf(reading: ReadOutcome | undefined, path: string): string | undefined {
  if (reading === "unreadable") return `${path} could not be read to its end`;
  return reading === "moving" ? `${path} changed while it was read` : undefined;
}

const hashed = (source: Bytes, sha256: string | undefined, tell: (changed: boolean) => void): Bytes =>
  reportDigest((read) => {
    tell(sha256 !== undefined && read.sha256 !== sha256);
  })(source);

const changedWhileRead = (path: string) =>
  new MigrationError("source-changed", `${path} changed while it was read`, {
    hint: "something writes to the media store: check that the server is stopped, then run the same command again",
  });
