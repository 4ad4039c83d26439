import { createHash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Files } from "../../../system/files/files.ts";
import type { StoredFile } from "../store/store.ts";

/** How a file was when its last byte was read. */
export type ReadOutcome =
  /** As it was found. */
  | "steady"
  /** Its hash is not the one that its row has. */
  | "changed"
  /** It was written to, or cut short, while it was read: what was read is of no use. */
  | "moving"
  /** It is there, and could not be read to its end. */
  | "unreadable";

export interface StableReadOptions {
  readonly files: Files;
  readonly store: string;
  /** Lower-case hex; undefined where it is not known. */
  readonly sha256: string | undefined;
  readonly tell: (reading: ReadOutcome) => void;
}

/**
 * A file's bytes, exactly as many as its size was, even if it changes meanwhile: the tar header has that size. Missing bytes
 * are filled with zeros, and reported. Undefined when it no longer exists, or cannot be read, which is reported too; else
 * `content` is to be read or `end`ed.
 */
export async function openStable(
  file: StoredFile,
  watched: StableReadOptions,
): Promise<{ content: () => Bytes; end: () => Promise<void> } | undefined> {
  const { files, store } = watched;
  const chunks = files.read(join(store, file.name), { to: file.size })[Symbol.asyncIterator]();
  const end = async () => {
    await chunks.return?.();
  };
  try {
    // Once it is open it cannot go away any more.
    const first = await chunks.next();
    return { content: () => readStable(file, first, chunks, watched), end };
  } catch (error) {
    await end();
    if (error instanceof MigrationError && error.code === "file-missing") return undefined;
    if (!isSingleFileError(error)) throw error;
    watched.tell("unreadable");
    return undefined;
  }
}

/** Whether a file could not be read, which says nothing of the others. */
export const isSingleFileError = (error: unknown) =>
  error instanceof MigrationError && (error.code === "permission-denied" || error.code === "file-failed");

async function* readStable(
  file: StoredFile,
  first: IteratorResult<Uint8Array>,
  chunks: AsyncIterator<Uint8Array>,
  { files, store, sha256, tell }: StableReadOptions,
): Bytes {
  const hash = sha256 === undefined ? undefined : createHash("sha256");
  let left = file.size;
  const disk = { broken: false };
  const more = async () => {
    try {
      return await chunks.next();
    } catch (error) {
      if (!isSingleFileError(error)) throw error;
      disk.broken = true;
      return { done: true, value: undefined } as const;
    }
  };
  for (let next = first; next.done !== true; next = await more()) {
    left -= next.value.length;
    hash?.update(next.value);
    yield next.value;
  }
  const whole = left === 0;
  for (; left > 0; left -= Math.min(left, ZEROS.length))
    yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
  if (disk.broken) tell("unreadable");
  else if (!whole || (await hasChanged(file, store, files))) tell("moving");
  else tell(hash === undefined || hash.digest("hex") === sha256 ? "steady" : "changed");
}

const ZEROS = new Uint8Array(1024 * 1024);

/** One that is gone by now was read whole. */
async function hasChanged(
  { name, size, mtimeMs }: StoredFile,
  store: string,
  files: Files,
): Promise<boolean> {
  const now = await files.lstat(join(store, name));
  return now !== undefined && (now.kind !== "file" || now.size !== size || now.mtimeMs !== mtimeMs);
}
