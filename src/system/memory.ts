/**
 * Memory for bytes on their way. The garbage collector learns of it late and works for it hard: a stream of gigabytes
 * costs it more than all that is done with the bytes. So who has used such bytes up gives them back.
 */
const lent = new WeakSet<ArrayBufferLike>();

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
 * happens for a chunk whose memory was not lent, or is shared.
 */
export function giveBack({ buffer }: Uint8Array): void {
  if (lent.delete(buffer)) (buffer as ArrayBuffer).transfer(0);
}

/** Several look at it, so nobody knows to be the last: it stays until the garbage collector finds it. */
export function share(chunk: Uint8Array): Uint8Array {
  lent.delete(chunk.buffer);
  return chunk;
}
