import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import { MigrationError } from "../errors.ts";
import type { Bytes, Stage } from "./stage.ts";

/** A regular file on its way into an archive. */
export interface TarEntry {
  /** Relative, with forward slashes. */
  readonly name: string;
  /** Bytes, exactly: `content` must give that many. */
  readonly size: number;
  readonly mode: number;
  /** Milliseconds since 1970; the archive keeps whole seconds. */
  readonly mtimeMs: number;
  content(): Bytes;
}

/** What was found in an archive. `content` must be read, or skipped by going on, before the next is asked for. */
export interface Unpacked {
  readonly name: string;
  readonly kind: "file" | "folder" | "other";
  readonly size: number;
  readonly mode: number;
  readonly mtimeMs: number;
  readonly content: Bytes;
}

/** A tar archive (POSIX ustar; PAX where a name needs it). Throws `source-changed` when a content is not as long as was said. */
export async function* packTar(entries: AsyncIterable<TarEntry> | Iterable<TarEntry>): Bytes {
  const pack = tar.pack();
  let failure: { error: unknown } | undefined;
  const feeding = (async () => {
    for await (const entry of entries) await addEntry(pack, entry);
    pack.finalize();
  })().catch((error: unknown) => {
    failure = { error };
    pack.destroy(error as Error);
  });
  try {
    for await (const chunk of pack) yield chunk as Uint8Array;
    await feeding;
  } catch (error) {
    throw failure ? failure.error : error;
  } finally {
    // A reader that stopped early: nothing more is to be packed.
    pack.destroy(new Error("nobody reads the archive any more"));
    await feeding;
  }
  if (failure) throw failure.error;
}

/** Bytes of what `packTar` makes of files of these sizes, if each name is of at most 100 ASCII characters. */
export const tarSize = (sizes: Iterable<number>): number => {
  let size = 2 * BLOCK;
  for (const each of sizes) size += BLOCK + Math.ceil(each / BLOCK) * BLOCK;
  return size;
};

const BLOCK = 512;

async function addEntry(pack: tar.Pack, entry: TarEntry): Promise<void> {
  const { name, size, mode, mtimeMs } = entry;
  const sink = pack.entry({ name, size, mode, mtime: new Date(mtimeMs), type: "file", uid: 0, gid: 0 });
  const done = new Promise<void>((resolve, reject) => {
    sink.on("finish", resolve);
    sink.on("error", reject);
    sink.on("close", resolve);
  });
  done.catch(() => undefined);
  let written = 0;
  for await (const chunk of entry.content()) {
    written += chunk.length;
    if (written > size) break;
    // Nobody reads any more: a closed sink never drains, and the file is to be closed.
    if (!sink.destroyed && !sink.write(chunk)) await drained(sink);
    if (sink.destroyed) throw new Error(`${name} was not packed to its end`);
  }
  if (written !== size) {
    throw new MigrationError("source-changed", `${name} changed while it was read: it had ${size} bytes`, {
      hint: "run the same command again; what is finished is kept",
    });
  }
  sink.end(undefined);
  await done;
}

function drained(sink: NodeJS.EventEmitter): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      sink.off("drain", go).off("close", go).off("error", go);
      resolve();
    };
    sink.on("drain", go).on("close", go).on("error", go);
  });
}

/** Undoes `packTar`, and reads what other tar programs write. Throws `bundle-damaged` when it is cut off or broken. */
export async function* unpackTar(source: Bytes): AsyncIterable<Unpacked> {
  const extract = tar.extract();
  let sourceError: { error: unknown } | undefined;
  const watched = async function* (): Bytes {
    try {
      yield* wholeTar(source);
    } catch (error) {
      sourceError = { error };
      throw error;
    }
  };
  const feeding = pipeline(watched(), extract);
  feeding.catch(() => undefined);
  const reason = (error: unknown): unknown => {
    if (sourceError) return sourceError.error;
    if (error instanceof MigrationError) return error;
    return new MigrationError("bundle-damaged", `the archive is damaged: ${(error as Error).message}`, {
      cause: error,
    });
  };
  // Whoever reads a file hears why it ends early, too, and not that a stream was destroyed.
  const content = async function* (entry: Bytes): Bytes {
    try {
      yield* entry;
    } catch (error) {
      throw reason(error);
    }
  };
  try {
    for await (const entry of extract) {
      const { name, type, size, mode, mtime } = entry.header;
      const kind =
        type === "file" || type === "contiguous-file" ? "file" : type === "directory" ? "folder" : "other";
      yield {
        name,
        kind,
        size,
        mode,
        mtimeMs: mtime.getTime(),
        content: content(entry as Bytes),
      };
      entry.resume();
    }
    await feeding;
  } catch (error) {
    throw reason(error);
  } finally {
    extract.destroy(new Error("nobody reads the archive any more"));
  }
}

/** tar(5): an archive is made of blocks of 512 bytes and ends with two of zeros. Passes bytes on, and throws `bundle-damaged` when it does not end so. */
export const wholeTar: Stage = async function* (source) {
  let tail: Uint8Array = new Uint8Array();
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    // Copied: a chunk is its reader's, who may give it back.
    tail = Uint8Array.from((chunk.length >= 1024 ? chunk : Buffer.concat([tail, chunk])).subarray(-1024));
    yield chunk;
  }
  mustEndTar(size, tail);
};

/** Given an archive's size and at least its last 1,024 bytes. */
export function mustEndTar(size: number, tail: Uint8Array): void {
  const end = tail.subarray(-1024);
  if (size % 512 === 0 && end.length === 1024 && end.every((byte) => byte === 0)) return;
  throw new MigrationError("bundle-damaged", "the archive ends too early: its end mark is missing");
}
