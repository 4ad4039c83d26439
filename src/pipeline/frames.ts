import { MigrationError } from "../errors.ts";
import { allocateBuffer } from "../system/buffers.ts";
import type { Bytes } from "./transform.ts";

/**
 * The protocol between two synlift processes: first this line, then frames. A frame is its kind (one byte), its length
 * (four bytes, big-endian) and its content.
 */
export const FIRST_LINE = "synlift-direct\n";

const KINDS = { alive: 0, message: 1, data: 2, end: 3, failure: 4 } as const;
export type FrameKind = keyof typeof KINDS;

/** The maximum size of a frame's content in bytes. A longer frame is a protocol error, and none of it is buffered. */
export const LIMITS: Readonly<Record<FrameKind, number>> = {
  /** A keep-alive without content. */
  alive: 0,
  /** JSON. */
  message: 64 * 1024 * 1024,
  /** A chunk of a stream. */
  data: 1024 * 1024,
  /** JSON: size and hash of the stream. */
  end: 1024,
  /** JSON: the error that ended the stream. */
  failure: 64 * 1024,
};

/** A data frame is passed on as it arrives, so it may become several of these. */
export interface Frame {
  readonly kind: FrameKind;
  readonly bytes: Uint8Array;
}

const HEADER_SIZE = 5;

/** One frame, or for data as many as are needed. Throws a RangeError when another kind is too long. */
export function encodeFrame(kind: FrameKind, bytes: Uint8Array = new Uint8Array()): Uint8Array {
  const limit = LIMITS[kind];
  if (kind === "data" && bytes.length > limit) {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += limit)
      pieces.push(encodeFrame(kind, bytes.subarray(at, at + limit)));
    return Buffer.concat(pieces);
  }
  if (bytes.length > limit) throw new RangeError(`a ${kind} of ${bytes.length} bytes is too long`);
  const frame =
    kind === "data"
      ? allocateBuffer(HEADER_SIZE + bytes.length)
      : Buffer.allocUnsafe(HEADER_SIZE + bytes.length);
  frame.writeUInt8(KINDS[kind], 0);
  frame.writeUInt32BE(bytes.length, 1);
  frame.set(bytes, HEADER_SIZE);
  return frame;
}

/**
 * Reads frames from a stream, whatever its chunks are. Ends when the source ends between two frames.
 * Throws `connection-failed` for anything that is not a frame, and for a truncated frame.
 */
export async function* readFrames(source: Bytes): AsyncGenerator<Frame, void> {
  const bytes = new ByteReader(source);
  await readFirstLine(bytes);
  for (;;) {
    const head = await bytes.exactly(HEADER_SIZE);
    if (!head) return;
    const view = Buffer.from(head.buffer, head.byteOffset, head.length);
    const [code, length] = [view.readUInt8(0), view.readUInt32BE(1)];
    const kind = (Object.keys(KINDS) as FrameKind[]).find((name) => KINDS[name] === code);
    if (kind === undefined) throw garbled(`a frame of kind ${code}`);
    if (length > LIMITS[kind]) throw garbled(`a frame of ${length} bytes`);
    if (kind === "data") yield* pieces(bytes, length);
    else yield { kind, bytes: (await bytes.exactly(length)) ?? cutOff() };
  }
}

async function* pieces(bytes: ByteReader, length: number): AsyncGenerator<Frame, void> {
  for (let left = length; left > 0;) {
    const piece = (await bytes.some(left)) ?? cutOff();
    left -= piece.length;
    yield { kind: "data", bytes: piece };
  }
}

/** A login shell may print something first. The error quotes it, so that the user can find where it comes from. */
async function readFirstLine(bytes: ByteReader): Promise<void> {
  const expected = Buffer.from(FIRST_LINE);
  const seen: Uint8Array[] = [];
  let size = 0;
  while (size < expected.length) {
    const piece = await bytes.some(expected.length - size);
    if (!piece) break;
    seen.push(piece);
    size += piece.length;
    if (!expected.subarray(0, size).equals(Buffer.concat(seen))) break;
  }
  if (size === 0) throw cut("no data arrived");
  const all = Buffer.concat(seen);
  if (all.equals(expected)) return;
  if (expected.subarray(0, size).equals(all)) cutOff();
  const words = Buffer.concat([all, (await bytes.some(200)) ?? new Uint8Array()]).toString("latin1");
  throw garbled(JSON.stringify(words.split("\n", 1)[0]!.slice(0, 120)));
}

class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array();

  constructor(source: Bytes) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At least one and at most `most` bytes; undefined at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#held.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#held = next.value;
    }
    const piece = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(piece.length);
    return piece;
  }

  /** Undefined when the source ends before the first byte; throws when it ends later. */
  async exactly(length: number): Promise<Uint8Array | undefined> {
    if (length === 0) return new Uint8Array();
    const parts: Uint8Array[] = [];
    for (let left = length; left > 0;) {
      const piece = await this.some(left);
      if (!piece) return parts.length === 0 ? undefined : cutOff();
      parts.push(piece);
      left -= piece.length;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }
}

const cut = (how: string) =>
  new MigrationError("connection-failed", `the connection was lost: ${how}`, {
    hint: "run the same command again: it resumes where it stopped",
  });

function cutOff(): never {
  throw cut("a frame is truncated");
}

const garbled = (what: string) =>
  new MigrationError(
    "connection-failed",
    `the other side does not speak synlift's protocol: it sent ${what}`,
    {
      hint: "only synlift may write to its standard output: check that no login script of that account prints anything, and that the command starts synlift",
    },
  );
