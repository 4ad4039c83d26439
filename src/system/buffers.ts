/**
 * Buffers for streams. The garbage collector frees them late and at a high cost: for a stream of gigabytes more than
 * all other processing. Therefore the last user of a buffer releases it explicitly.
 */
const lent = new WeakSet<ArrayBufferLike>();

/** For each view made by `shareBuffer`, how many views of the same buffer are not released yet. */
const shared = new WeakMap<Uint8Array, { left: number }>();

/** Allocates an uninitialized buffer that may be released with `releaseBuffer`. */
export function allocateBuffer(size: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.allocUnsafeSlow(size);
  lent.add(bytes.buffer);
  return bytes;
}

/**
 * Marks a buffer from elsewhere as releasable. Nothing else may use its memory. Frames and tar yield several views of
 * one chunk, so `releaseAfterUse` must not be used behind `Channel.receiveStream` or `unpackTar`.
 */
export function adoptBuffer<T extends Uint8Array>(bytes: T): T {
  lent.add(bytes.buffer);
  return bytes;
}

/**
 * Frees the memory of a chunk, which is empty afterwards; to be called by its last user. Does nothing when the memory
 * was not allocated or adopted here, or while another view made by `shareBuffer` is in use.
 */
export function releaseBuffer(chunk: Uint8Array): void {
  const given = shared.get(chunk);
  if (given) {
    shared.delete(chunk);
    given.left -= 1;
  }
  if (given ? given.left === 0 : lent.delete(chunk.buffer)) (chunk.buffer as ArrayBuffer).transfer(0);
}

/**
 * Two views of the same bytes for two users. The memory is freed when both views have been released. Releasing a
 * further view of one of them frees nothing.
 */
export function shareBuffer(chunk: Uint8Array): readonly [Uint8Array, Uint8Array] {
  if (!lent.delete(chunk.buffer)) return [chunk, chunk];
  const views = [chunk.subarray(), chunk.subarray()] as const;
  const given = { left: views.length };
  for (const view of views) shared.set(view, given);
  return views;
}

/** Makes a chunk non-releasable, because it is needed again. */
export function retainBuffer(chunk: Uint8Array): Uint8Array {
  lent.delete(chunk.buffer);
  return chunk;
}
