import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import { MigrationError } from "../errors.ts";
import type { Bytes, ByteTransform } from "./transform.ts";

/** A regular file to be added to an archive. */
export interface TarEntry {
  /** Relative, with forward slashes. */
  readonly name: string;
  /** Bytes; `content` must yield exactly that many. */
  readonly size: number;
  readonly mode: number;
  /** Milliseconds since 1970; the archive keeps whole seconds. */
  readonly mtimeMs: number;
  content(): Bytes;
}

/** An entry of an archive. Read `content`, or skip it by requesting the next entry. */
export interface ExtractedEntry {
  readonly name: string;
  readonly kind: "file" | "folder" | "other";
  readonly size: number;
  readonly mode: number;
  readonly mtimeMs: number;
  readonly content: Bytes;
}

/** A tar archive (POSIX ustar; PAX where a name needs it). Throws `source-changed` when the content of a file does not have the announced size. */
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
    // When the reader stopped early, packing must stop too.
    pack.destroy(new Error("nobody reads the archive any more"));
    await feeding;
  }
  if (failure) throw failure.error;
}

/** The size in bytes of an archive of files of these sizes, if each name has at most 100 ASCII characters. */
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
    // After the reader has gone, a closed sink never drains, and the file must be closed.
    if (!sink.destroyed && !sink.write(chunk)) await drained(sink);
    if (sink.destroyed) throw new Error(`${name} was not packed to its end`);
  }
  if (written !== size) {
    throw new MigrationError("source-changed", `${name} changed while it was read: it had ${size} bytes`, {
      hint: "run the same command again; completed work is kept",
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

/** Reverses `packTar`, and reads archives of other tar programs. Throws `bundle-damaged` when truncated or corrupt. */
export async function* unpackTar(source: Bytes): AsyncIterable<ExtractedEntry> {
  const extract = tar.extract();
  let sourceError: { error: unknown } | undefined;
  const watched = async function* (): Bytes {
    try {
      yield* checkTarEnd(source);
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
  // A reader of a file gets the real cause of an early end, not just the error that a stream was destroyed.
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

/** tar(5): an archive consists of blocks of 512 bytes and ends with two blocks of zeros. Passes bytes on, and throws `bundle-damaged` when that end is missing. */
export const checkTarEnd: ByteTransform = async function* (source) {
  let tail: Uint8Array = new Uint8Array();
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    // Copied, because the reader may release the chunk.
    tail = Uint8Array.from((chunk.length >= 1024 ? chunk : Buffer.concat([tail, chunk])).subarray(-1024));
    yield chunk;
  }
  assertTarEnd(size, tail);
};

/** Throws `bundle-damaged` for an incomplete archive, given its size and at least its last 1,024 bytes. */
export function assertTarEnd(size: number, tail: Uint8Array): void {
  const end = tail.subarray(-1024);
  if (size % 512 === 0 && end.length === 1024 && end.every((byte) => byte === 0)) return;
  throw new MigrationError("bundle-damaged", "the archive ends too early: its end mark is missing");
}
