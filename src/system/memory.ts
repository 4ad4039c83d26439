/**
 * Memory for bytes on their way. The garbage collector learns of it late and works for it hard: a stream of gigabytes
 * costs it more than all that is done with the bytes. So who has used such bytes up gives them back.
 */
const lent = new WeakSet<ArrayBufferLike>();

/** Of each view that `share` gave out, how many of its kind are not given back yet. */
const shared = new WeakMap<Uint8Array, { left: number }>();

/** So many bytes, of anything, that may be given back. */
export function lend(size: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.allocUnsafeSlow(size);
  lent.add(bytes.buffer);
  return bytes;
}

/**
 * What nobody else has a look at may be given back too: all of the memory in which it lies is its own.
 * Frames and tar hand out several views of one such chunk: so nobody may put `givingBack` behind `Channel.receive` or
 * `unpackTar`.
 */
export function adopt<T extends Uint8Array>(bytes: T): T {
  lent.add(bytes.buffer);
  return bytes;
}

/**
 * Frees the memory of a chunk, which has no bytes afterwards: to be called by who is the last to look at it. Nothing
 * happens for a chunk whose memory was not lent, or that the other of two has not given back yet.
 */
export function giveBack(chunk: Uint8Array): void {
  const given = shared.get(chunk);
  if (given) {
    shared.delete(chunk);
    given.left -= 1;
  }
  if (given ? given.left === 0 : lent.delete(chunk.buffer)) (chunk.buffer as ArrayBuffer).transfer(0);
}

/**
 * The same bytes for two, each of whom may give back what it got: when both have, the memory is freed. A view that
 * somebody makes of one of them is not known here, and frees nothing.
 */
export function share(chunk: Uint8Array): readonly [Uint8Array, Uint8Array] {
  if (!lent.delete(chunk.buffer)) return [chunk, chunk];
  const views = [chunk.subarray(), chunk.subarray()] as const;
  const given = { left: views.length };
  for (const view of views) shared.set(view, given);
  return views;
}

/** It is needed once more, by whoever gives it away: nobody frees it. */
export function hold(chunk: Uint8Array): Uint8Array {
  lent.delete(chunk.buffer);
  return chunk;
}
