import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Files, WalkEntry } from "../../../system/files/files.ts";
import type { QuerySession } from "../../../system/query.ts";
import { findInProviders, type ReadableProvider } from "../providers/provider.ts";
import { BoundedList } from "../store/bounded-list.ts";
import { UPLOAD_KEYS, uploadPath, UPLOADS } from "../store/layout.ts";
import { type UploadRow, uploadRows } from "../store/rows.ts";
import { mergeJoin, type MergeJoinHandlers } from "./merge-join.ts";
import { type CheckedMismatch, Mismatches, recheckMismatches } from "./mismatches.ts";

/** How uploads and files fit, and what lies in local_content. */
export interface UploadsComparison {
  /** Rows of uploads that a file is expected for. */
  readonly rows: number;
  /** All regular files, also those that belong to no upload: an export packs them all. */
  readonly files: number;
  readonly bytes: number;
  /** Uploads that are not in the store as long as their rows say, but in a storage provider. */
  readonly provided: { readonly files: number; readonly bytes: number };
  readonly missing: Faults;
  readonly differing: Faults;
  readonly unknown: Faults;
  /** Links and other things that are no regular files, below the store. */
  readonly odd: BoundedList;
  /** What cannot be looked at, below the store. */
  readonly closed: BoundedList;
  /** Rows whose files may lie in what is closed. */
  readonly unseen: number;
  /** A file that fits its row, below the store: to try whether it can be read. */
  readonly example: string | undefined;
}

interface Faults {
  readonly count: number;
  /** Bytes on disk. */
  readonly bytes: number;
  /** The first of them. */
  readonly some: readonly CheckedMismatch[];
}

/** So many are looked at again. */
const KEPT = 100;

/** A store with its rows, to be compared. */
export interface Comparable {
  readonly session: QuerySession;
  readonly store: string;
  readonly providers: readonly ReadableProvider[];
  readonly files: Files;
  readonly signal: AbortSignal;
}

/**
 * Compares the rows of uploads with the files by existence and size, and looks again at what does not fit. Memory
 * stays flat. `tell` is called with 1 for each row.
 */
export async function compareUploads(
  { session, store, providers, files, signal }: Comparable,
  tell: (rows: number) => void,
): Promise<UploadsComparison> {
  const seen = new UploadComparer(providers, tell);
  await mergeJoin(uploadRows(session, { hashes: false }), files.walk(join(store, UPLOADS), signal), seen);
  const judged: CheckedMismatch[] = [];
  for (const suspects of [seen.missing, seen.differing, seen.unknown])
    judged.push(...(await recheckMismatches(suspects.first, session, store, files)));
  const those = (verdict: CheckedMismatch["verdict"], { rest }: Mismatches): Faults => {
    const found = judged.filter((one) => one.verdict === verdict);
    return {
      count: found.length + rest.files,
      bytes: found.reduce((sum, one) => sum + (one.found ?? 0), rest.bytes),
      some: found.slice(0, KEPT),
    };
  };
  return {
    rows: seen.rows,
    files: seen.files,
    bytes: seen.bytes,
    provided: seen.provided,
    missing: those("missing", seen.missing),
    differing: those("differing", seen.differing),
    unknown: those("unknown", seen.unknown),
    odd: seen.odd,
    closed: seen.closed,
    unseen: seen.unseen,
    example: seen.example,
  };
}

class UploadComparer implements MergeJoinHandlers<UploadRow> {
  rows = 0;
  files = 0;
  bytes = 0;
  unseen = 0;
  example: string | undefined;
  readonly provided = { files: 0, bytes: 0 };
  readonly missing = new Mismatches();
  readonly differing = new Mismatches();
  readonly unknown = new Mismatches();
  readonly odd = new BoundedList();
  readonly closed = new BoundedList();
  readonly keyAt = UPLOAD_KEYS.keyAt;
  readonly prefixAt = UPLOAD_KEYS.prefixAt;
  readonly #providers: readonly ReadableProvider[];
  readonly #tell: (rows: number) => void;
  /** Whether a provider gave no answer about a file that the store has. */
  #silent = false;

  constructor(providers: readonly ReadableProvider[], tell: (rows: number) => void) {
    this.#providers = providers;
    this.#tell = tell;
  }

  both({ key, length }: UploadRow, { name, size }: WalkEntry): Promise<void> | undefined {
    this.#file(size);
    if (length === null) return undefined;
    this.#row();
    if (size !== length) {
      if (this.#providers.length > 0 && !this.#silent) return this.#lookForBetter(key, length);
      this.differing.addUpload(key);
    } else if (size > 0) this.example ??= `${UPLOADS}/${name}`;
    return undefined;
  }

  rowOnly({ key, length }: UploadRow, unseen: boolean): Promise<void> | undefined {
    if (length === null) return undefined;
    this.#row();
    if (unseen) this.unseen += 1;
    else if (this.#providers.length > 0) return this.#lookElsewhere(key, length, this.missing);
    else this.missing.addUpload(key);
    return undefined;
  }

  /** That the store's file is another one is known without the providers; they can only say that it does not matter. */
  async #lookForBetter(key: string, length: number): Promise<void> {
    try {
      await this.#lookElsewhere(key, length, this.differing);
    } catch (error) {
      if (!(error instanceof MigrationError) || error.code !== "object-storage-failed") throw error;
      this.#silent = true;
      this.differing.addUpload(key);
    }
  }

  async #lookElsewhere(key: string, length: number, otherwise: Mismatches): Promise<void> {
    const path = uploadPath(key);
    if (path === undefined || !(await findInProviders(path, length, this.#providers)))
      otherwise.addUpload(key);
    else {
      this.provided.files += 1;
      this.provided.bytes += length;
    }
  }

  fileOnly({ name, kind, size }: WalkEntry): void {
    if (kind === "file") {
      this.#file(size);
      this.unknown.addFile(name, size);
    } else (kind === "closed" ? this.closed : this.odd).add(join(UPLOADS, name));
  }

  #row(): void {
    this.rows += 1;
    this.#tell(1);
  }

  #file(size: number): void {
    this.files += 1;
    this.bytes += size;
  }
}
