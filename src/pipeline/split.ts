import type { Bytes } from "./transform.ts";

/** The suffix that GNU split gives to part number `index`, from 0: aa … yz, then zaaa … zyzz, then zzaaaa …. */
export function partSuffix(index: number): string {
  // coreutils split.c, next_file_name: the first letter never becomes z at a width; z opens a wider series instead.
  let lead = "";
  let width = 2;
  for (;;) {
    const inSeries = 25 * 26 ** (width - 1);
    if (index < inSeries) break;
    index -= inSeries;
    lead += "z";
    width += 1;
  }
  let letters = "";
  for (let left = index, place = 0; place < width; place++, left = Math.floor(left / 26)) {
    letters = String.fromCharCode(97 + (left % 26)) + letters;
  }
  return lead + letters;
}

/** Where a part is written to. `finish` is called after its last byte. */
export interface PartSink {
  write(chunk: Uint8Array): Promise<void>;
  finish(): Promise<void>;
}

/**
 * Writes a stream as parts of `size` bytes; the last one may be shorter. There is always at least one part, even if it
 * is empty, and never an empty part after others. Without a size there is one part.
 */
export async function splitInto(
  source: Bytes,
  size: number | undefined,
  open: (index: number) => Promise<PartSink>,
): Promise<void> {
  let index = 0;
  let part = await open(index);
  let room = size ?? Infinity;
  for await (let chunk of source) {
    while (chunk.length > 0) {
      if (room === 0) {
        await part.finish();
        part = await open(++index);
        room = size!;
      }
      const taken = chunk.subarray(0, Math.min(room, chunk.length));
      await part.write(taken);
      room -= taken.length;
      chunk = chunk.subarray(taken.length);
    }
  }
  await part.finish();
}

/** Reverses `splitInto`: concatenates the parts. */
export async function* concatenate(parts: Iterable<Bytes>): Bytes {
  for (const part of parts) yield* part;
}
