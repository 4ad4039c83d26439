import { createHash } from "node:crypto";
import { join } from "node:path";
import { digestOf } from "../../../pipeline/digest.ts";
import type { Files, WalkEntry } from "../../../system/files/files.ts";
import type { QuerySession } from "../../../system/query.ts";
import { findInProviders, type ReadableProvider } from "../providers/provider.ts";
import type { Differing } from "../section.ts";
import { BoundedList } from "../store/bounded-list.ts";
import { UPLOAD_KEYS, uploadPath, UPLOADS } from "../store/layout.ts";
import { hasColumn, type UploadRow, uploadRows } from "../store/rows.ts";
import { throwReadError } from "../store/store.ts";
import type { HashedBefore } from "./hashed-before.ts";
import { mergeJoin } from "./merge-join.ts";

export interface Comparison {
  readonly rows: number;
  readonly bytes: number;
  /** Uploads whose file has the right size only in a storage provider. */
  readonly provided: { readonly files: number; readonly bytes: number };
  /** Uploads without a file, or with one of another size: the first of them. */
  readonly differing: readonly Differing[];
  readonly differingCount: number;
  /** SHA-256 over all of them in the order of their ids, a line each: id, bytes by the row, bytes found. */
  readonly differingDigest: string;
  /** Uploads of the right size whose hash is not the one in their row; only looked for when asked. */
  readonly changed: BoundedList;
  /** Files whose hash was compared. */
  readonly hashed: number;
  /** Files whose hash was compared before, and that have not changed since. */
  readonly hashedBefore: number;
  /** Those of `differing` whose files are in folders that cannot be read. */
  readonly unseen: number;
}

/** So many that differ are named. */
const NAMED = 100_000;

export interface CompareOptions {
  /** Whether each file is read. */
  readonly hashes: boolean;
  readonly tell: (bytes: number) => void;
  /** What was compared by hash before; nothing when left out. */
  readonly before?: HashedBefore | undefined;
  /** Told of each upload whose hash is that of its row, in the order of their ids. */
  readonly note?: (id: string, sha256: string) => Promise<void>;
  /** Where else a file may be; nowhere when left out. */
  readonly providers?: readonly ReadableProvider[];
  readonly signal?: AbortSignal;
  /** Whether unreadable folders are allowed: uploads that should be in them count as differing. */
  readonly closed?: boolean;
  /** Some rows in the order of their ids; all of them when left out. */
  readonly rows?: AsyncIterable<UploadRow>;
  /** The walk through the uploads, where somebody reads along; one of its own when left out. */
  readonly walked?: AsyncIterable<readonly WalkEntry[]>;
}

/**
 * Rows of local uploads against files. A row without a length is an id that was reserved and never used; rows of URL
 * previews have their files elsewhere (synapse/storage/databases/main/media_repository.py). Memory stays flat. Throws
 * `permission-denied` or `file-failed` for a folder that cannot be looked into, `object-storage-failed` for a provider.
 */
export async function compareMedia(
  session: QuerySession,
  store: string,
  files: Files,
  {
    hashes,
    tell,
    before,
    note,
    providers = [],
    signal,
    closed: mayBeClosed = false,
    rows: given,
    walked,
  }: CompareOptions,
): Promise<Comparison> {
  const known = hashes && (await hasColumn(session, "sha256"));
  const differ = new Differences();
  const changed = new BoundedList(NAMED);
  const provided = { files: 0, bytes: 0 };
  let closed: string | undefined;
  let rows = 0;
  let bytes = 0;
  let hashed = 0;
  let hashedBefore = 0;
  let unseen = 0;
  const count = (length: number) => {
    rows += 1;
    bytes += length;
    tell(length);
  };
  const compareHash = async (id: string, sha256: string) => {
    const path = join(store, uploadPath(id)!);
    if (before && (await before.has(id, sha256)) && (await isUnchanged(path, before, files))) {
      hashedBefore += 1;
      return;
    }
    hashed += 1;
    const read = await digestOf(files.read(path));
    if (read.sha256 !== sha256) changed.add(id);
    else await note?.(id, sha256);
  };
  const miss = (row: UploadRow, length: number, found: number | null, hidden: boolean) => {
    differ.add(row, length, found);
    if (hidden) unseen += 1;
  };
  // Rows are read later than the first folders: while the server runs, a file may have come since.
  const lookAgain = async (row: UploadRow, length: number, walked: number | null, hidden = false) => {
    const path = hidden ? undefined : uploadPath(row.key);
    const now = path === undefined ? undefined : await files.lstat(join(store, path));
    const found = now?.kind === "file" ? now.size : walked;
    if (found === length) return row.sha256 ? compareHash(row.key, row.sha256) : undefined;
    if (providers.length > 0) return lookElsewhere(row, length, found, hidden);
    miss(row, length, found, hidden);
  };
  const lookElsewhere = async (row: UploadRow, length: number, found: number | null, hidden = false) => {
    const path = uploadPath(row.key);
    if (path === undefined || !(await findInProviders(path, length, providers)))
      miss(row, length, found, hidden);
    else {
      provided.files += 1;
      provided.bytes += length;
    }
  };
  await mergeJoin(
    given ?? uploadRows(session, { hashes: known, uploaders: true }),
    walked ?? files.walk(join(store, UPLOADS), signal),
    {
      ...UPLOAD_KEYS,
      both(row, { size }) {
        const { key, length, sha256 } = row;
        if (length === null) return undefined;
        count(length);
        if (size === length) return sha256 ? compareHash(key, sha256) : undefined;
        return lookAgain(row, length, size);
      },
      rowOnly(row, hidden) {
        if (row.length === null) return undefined;
        count(row.length);
        return lookAgain(row, row.length, null, hidden);
      },
      fileOnly({ kind, name }) {
        if (kind === "closed") closed ??= name;
      },
    },
  );
  if (closed !== undefined && !mayBeClosed) await throwReadError(join(store, UPLOADS, closed), files);
  return { rows, bytes, provided, ...differ.result(), changed, hashed, hashedBefore, unseen };
}

async function isUnchanged(path: string, { at }: HashedBefore, files: Files): Promise<boolean> {
  const changed = (await files.lstat(path))?.changedMs;
  return changed !== undefined && changed < at;
}

/** Uploads that have no file, or another one. */
class Differences {
  readonly #named: Differing[] = [];
  readonly #hash = createHash("sha256");
  #count = 0;

  add({ key, uploader }: UploadRow, expected: number, found: number | null): void {
    this.#count += 1;
    this.#hash.update(`${key} ${expected} ${found ?? "none"}\n`);
    if (this.#named.length < NAMED) this.#named.push({ mediaId: key, expected, found, uploader });
  }

  result(): Pick<Comparison, "differing" | "differingCount" | "differingDigest"> {
    const differingDigest = this.#hash.digest("hex");
    return { differing: this.#named, differingCount: this.#count, differingDigest };
  }
}

/** For people: "AbCd…: 4000 bytes by its row, no file; from @user:example.org". */
export const describeDiffering = ({ mediaId, expected, found, uploader }: Differing) =>
  `${mediaId}: ${expected} bytes by its row, ${found === null ? "no file" : `${found} on disk`}${uploader == null ? "" : `; from ${uploader}`}`;
