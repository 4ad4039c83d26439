import { join } from "node:path";
import type { Files } from "../../../system/files/files.ts";
import type { QuerySession } from "../../../system/query.ts";
import type { Kept } from "../../scope.ts";
import { compareMedia, type Comparison } from "../compare/compare.ts";
import type { ReadableProvider } from "../providers/provider.ts";
import { keptFolders } from "../store/folders.ts";
import { UPLOADS } from "../store/layout.ts";
import { type StoredFile, type StoreState, StoreTally, throwReadError } from "../store/store.ts";
import { PackedListReader, type SavedList } from "./packed-list.ts";

/** So many files are remembered that no list holds; of more it is only known that there are more. */
const REMEMBERED = 10_000;

/** Files that none of some lists holds, or not as they are now. */
export interface NewFiles {
  /** All of the walk, in its order; undefined when there are too many. */
  readonly all: readonly StoredFile[] | undefined;
  /** Whether there may be more elsewhere, where no walk finds them. */
  readonly elsewhere: boolean;
}

export const isNothingNew = ({ all, elsewhere }: NewFiles): boolean => all?.length === 0 && !elsewhere;

/** What one walk through a store tells when nothing is to come any more. */
export interface LastLook {
  readonly state: StoreState;
  readonly compared: Comparison;
  /** What is not in the backup. */
  readonly forBackup: NewFiles;
  /** What is not in the archives for matrix-media-repo. */
  readonly forArchive: NewFiles;
}

export interface LookOrder {
  readonly session: QuerySession;
  readonly providers: readonly ReadableProvider[];
  readonly store: string;
  readonly files: Files;
  readonly signal: AbortSignal;
  readonly kept: Kept;
  /** Whether what cannot be read may stay behind. */
  readonly unreadableAccepted: boolean;
  /** What of the store is packed already, in lists; undefined where nothing of that kind is made. */
  readonly backup: readonly SavedList[] | undefined;
  readonly archive: readonly SavedList[] | undefined;
  /** Told of each file, in the order of the walk. */
  readonly note?: ((file: StoredFile) => void) | undefined;
}

/**
 * Looks at the whole store once: its state, its rows against its files, and what is not packed yet. The server is down for as
 * long as this takes. Throws `permission-denied` or `file-failed` for what cannot be looked at and should be packed.
 */
export async function lookForTheLastTime(from: LookOrder): Promise<LastLook> {
  const { session, providers, store, files, signal, kept, unreadableAccepted } = from;
  const tally = new StoreTally();
  const elsewhere = providers.length > 0;
  const forBackup = new Unlisted({ lists: from.backup, elsewhere, isWanted: () => true }, files);
  const isUpload = (name: string) => name.startsWith(`${UPLOADS}/`);
  const forArchive = new Unlisted({ lists: from.archive, elsewhere, isWanted: isUpload }, files);
  const walk = async function* (folder: string) {
    for await (const batch of files.walk(join(store, folder), signal)) {
      for (const entry of batch) {
        const file = tally.add(folder, entry);
        if (file) {
          from.note?.(file);
          await forBackup.note(file);
          await forArchive.note(file);
        } else if (entry.kind === "closed" && from.backup && !unreadableAccepted)
          await throwReadError(join(store, folder, entry.name), files);
      }
      yield batch;
    }
  };
  try {
    const compared = await compareMedia(session, store, files, {
      hashes: false,
      tell: () => undefined,
      providers,
      signal,
      closed: unreadableAccepted,
      walked: walk(UPLOADS),
    });
    for (const folder of keptFolders(kept)) {
      if (folder === UPLOADS) continue;
      for await (const _ of walk(folder));
    }
    return { state: tally.result(), compared, forBackup, forArchive };
  } finally {
    await forBackup.close();
    await forArchive.close();
  }
}

interface UnlistedOptions {
  /** Undefined where nothing is compared. */
  readonly lists: readonly SavedList[] | undefined;
  readonly elsewhere: boolean;
  readonly isWanted: (name: string) => boolean;
}

class Unlisted implements NewFiles {
  readonly elsewhere: boolean;
  readonly #lists: readonly PackedListReader[] | undefined;
  readonly #isWanted: (name: string) => boolean;
  #found: StoredFile[] | undefined = [];

  constructor({ lists, elsewhere, isWanted }: UnlistedOptions, files: Files) {
    this.elsewhere = elsewhere;
    this.#lists = lists?.map((list) => new PackedListReader(list, files));
    this.#isWanted = isWanted;
  }

  get all(): readonly StoredFile[] | undefined {
    return this.#found;
  }

  /** To be called in the order of the walk. */
  async note(file: StoredFile): Promise<void> {
    if (!this.#lists || !this.#found || !this.#isWanted(file.name)) return;
    for (const list of this.#lists) if (await list.holds(file)) return;
    if (this.#found.length < REMEMBERED) this.#found.push(file);
    else this.#found = undefined;
  }

  async close(): Promise<void> {
    for (const list of this.#lists ?? []) await list.close();
  }
}
