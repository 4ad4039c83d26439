import { createHash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Bytes } from "../../pipeline/stage.ts";
import type { Files } from "../../system/files.ts";
import type { StoredFile } from "./store.ts";

/** How a file was when its last byte was read. */
export type Reading =
  /** As it was found. */
  | "steady"
  /** Its hash is not the one that its row has. */
  | "changed"
  /** It was written to, or cut short, while it was read: what was read is of no use. */
  | "moving";

export interface Watched {
  readonly files: Files;
  readonly store: string;
  /** Lower-case hex; undefined where it is not known. */
  readonly sha256: string | undefined;
  readonly tell: (reading: Reading) => void;
}

/**
 * A file's bytes, exactly as many as were found, whatever becomes of it meanwhile: an archive needs that many. What is
 * missing is filled with zeros, and told. Undefined when it is gone by now; else `content` is to be read or `end`ed.
 */
export async function openSteadily(
  file: StoredFile,
  watched: Watched,
): Promise<{ content: () => Bytes; end: () => Promise<void> } | undefined> {
  const { files, store } = watched;
  const chunks = files.read(join(store, file.name), { to: file.size })[Symbol.asyncIterator]();
  const end = async () => {
    await chunks.return?.();
  };
  try {
    // Once it is open it cannot go away any more.
    const first = await chunks.next();
    return { content: () => steadily(file, first, chunks, watched), end };
  } catch (error) {
    await end();
    if (error instanceof MigrationError && error.code === "file-missing") return undefined;
    throw error;
  }
}

async function* steadily(
  file: StoredFile,
  first: IteratorResult<Uint8Array>,
  chunks: AsyncIterator<Uint8Array>,
  { files, store, sha256, tell }: Watched,
): Bytes {
  const hash = sha256 === undefined ? undefined : createHash("sha256");
  let left = file.size;
  for (let next = first; next.done !== true; next = await chunks.next()) {
    left -= next.value.length;
    hash?.update(next.value);
    yield next.value;
  }
  const whole = left === 0;
  for (; left > 0; left -= Math.min(left, ZEROS.length))
    yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
  if (!whole || (await isOther(file, store, files))) tell("moving");
  else tell(hash === undefined || hash.digest("hex") === sha256 ? "steady" : "changed");
}

const ZEROS = new Uint8Array(1024 * 1024);

/** One that is gone by now was read whole. */
async function isOther({ name, size, mtimeMs }: StoredFile, store: string, files: Files): Promise<boolean> {
  const now = await files.look(join(store, name));
  return now !== undefined && (now.kind !== "file" || now.size !== size || now.mtimeMs !== mtimeMs);
}
