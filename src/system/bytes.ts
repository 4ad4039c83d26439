/** A byte stream. It is pulled by its reader, so a slow consumer slows the source and memory use stays constant. */
export type Bytes = AsyncIterable<Uint8Array>;
