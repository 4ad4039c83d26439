/** Bytes on the move. They are pulled, so a slow disk slows the reader and memory stays flat. */
export type Bytes = AsyncIterable<Uint8Array>;
