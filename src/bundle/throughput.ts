import { compress, decompress } from "../pipeline/compress.ts";
import { reportDigest } from "../pipeline/digest.ts";
import { decryptWith, type EncryptionKeys, encryptWith } from "../pipeline/encrypt.ts";
import type { GzipProgram } from "../pipeline/gzip-program.ts";
import { type Bytes, compose, drain } from "../pipeline/transform.ts";
import { retainBuffer } from "../system/buffers.ts";
import type { Machine } from "../system/machine.ts";

/** How fast this host packs artifacts, without the disk: nothing is written. */
export interface Throughput {
  /** Bytes of input per second. */
  readonly packing: number;
  /** Bytes of input per second when the artifact is read back. */
  readonly readingBack: number;
  /** Fixed seconds per artifact: gpg derives a key from the passphrase twice, which is slow by design. */
  readonly secondsPerArtifact: number;
  /** Bytes of output per byte of input. */
  readonly ratio: number;
}

export interface PaceOptions {
  readonly level: number;
  readonly keys: EncryptionKeys;
  readonly machine: Pick<Machine, "elapsed" | "cores">;
  /** A program that compresses instead of zlib in Node. */
  readonly gzip?: GzipProgram | undefined;
}

/** Packs a sample in memory. The sample must be small: it and the result are kept in memory. */
export async function measureThroughput(
  sample: readonly Uint8Array[],
  { level, keys, machine, gzip }: PaceOptions,
): Promise<Throughput> {
  const pack = compose(gzip?.compress ?? compress(level, machine.cores), encryptWith(keys));
  const unpack = (source: Bytes) =>
    compose(
      reportDigest(nothing),
      decryptWith(keys),
      gzip?.decompress ?? decompress,
      reportDigest(nothing),
    )(source);
  const timed = async (chunks: readonly Uint8Array[]) => {
    const began = machine.elapsed();
    const packed: Uint8Array[] = [];
    for await (const chunk of pack(given(chunks))) packed.push(chunk);
    const between = machine.elapsed();
    await drain(unpack(given(packed)));
    const seconds = { packing: (between - began) / 1000, readingBack: (machine.elapsed() - between) / 1000 };
    return { ...seconds, size: packed.reduce((sum, { length }) => sum + length, 0) };
  };
  const tries = [await timed(NOTHING), await timed(NOTHING)];
  const least = (stage: "packing" | "readingBack") => Math.min(...tries.map((one) => one[stage]));
  const fixed = { packing: least("packing"), readingBack: least("readingBack") };
  const whole = await timed(sample);
  const size = sample.reduce((sum, { length }) => sum + length, 0);
  return {
    packing: rateOf(size, whole.packing, fixed.packing),
    readingBack: rateOf(size, whole.readingBack, fixed.readingBack),
    secondsPerArtifact: fixed.packing + fixed.readingBack,
    ratio: size === 0 ? 1 : whole.size / size,
  };
}

const NOTHING: readonly Uint8Array[] = [new Uint8Array(1)];

/** On a busy host the measured fixed time may exceed the total; at least a third of the total counts for the data. */
const rateOf = (size: number, seconds: number, fixed: number) =>
  Math.max(1, size) / Math.max(0.001, seconds - fixed, seconds / 3);

const nothing = () => undefined;

/** The chunks are needed again and must not be released. */
// eslint-disable-next-line @typescript-eslint/require-await -- stages pull
async function* given(chunks: readonly Uint8Array[]): Bytes {
  yield* chunks.map(retainBuffer);
}
