import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGunzip, gzip } from "node:zlib";
import { MigrationError } from "../errors.ts";
import type { Bytes, Stage } from "./stage.ts";

const gzipMember = promisify(gzip);

/** Uncompressed bytes in one gzip member. RFC 1952, 2.2: members one after another are one gzip file. */
const MEMBER_SIZE = 1024 * 1024;

/**
 * gzip, in members that are compressed side by side on all cores.
 * Level 0 stores: for what is compressed already, such as media.
 */
export function compress(level: number, cores: number): Stage {
  return async function* (source) {
    const inFlight: Promise<Uint8Array>[] = [];
    let any = false;
    for await (const block of blocks(source, MEMBER_SIZE)) {
      any = true;
      const member = gzipMember(block, { level });
      // Looked at later, in order; until then a failure must not count as one that nobody saw.
      member.catch(() => undefined);
      inFlight.push(member);
      if (inFlight.length > cores) yield await inFlight.shift()!;
    }
    for (const member of inFlight) yield await member;
    if (!any) yield await gzipMember(new Uint8Array(), { level });
  };
}

/** Undoes `compress`, and reads any other gzip file. Throws `bundle-damaged` when it is cut off or broken. */
export const decompress: Stage = async function* (source) {
  const gunzip = createGunzip({ chunkSize: 1024 * 1024 });
  let sourceError: { error: unknown } | undefined;
  const watched = async function* (): Bytes {
    try {
      yield* source;
    } catch (error) {
      sourceError = { error };
      throw error;
    }
  };
  const feeding = pipeline(watched(), gunzip);
  feeding.catch(() => undefined);
  try {
    for await (const chunk of gunzip) yield chunk as Uint8Array;
    await feeding;
  } catch (error) {
    if (sourceError) throw sourceError.error;
    if (String((error as NodeJS.ErrnoException).code).startsWith("Z_")) {
      throw new MigrationError(
        "bundle-damaged",
        `the compressed data is damaged: ${(error as Error).message}`,
        { cause: error },
      );
    }
    throw error;
  }
};

/** Cuts or joins chunks into blocks of the same size; the last may be shorter. */
export async function* blocks(source: Bytes, size: number): Bytes {
  let held: Uint8Array[] = [];
  let length = 0;
  for await (let chunk of source) {
    while (length + chunk.length >= size) {
      const taken = size - length;
      yield Buffer.concat([...held, chunk.subarray(0, taken)], size);
      chunk = chunk.subarray(taken);
      held = [];
      length = 0;
    }
    if (chunk.length > 0) held.push(chunk);
    length += chunk.length;
  }
  if (length > 0) yield Buffer.concat(held, length);
}
