import { crc32 } from "node:zlib";

/**
 * Reads a gzip file without compression: all deflate blocks are stored blocks (RFC 1951, 3.2.4), as in media artifacts.
 * Passes on views of its input without copying, which a general inflater cannot.
 * `add` and `end` throw errors with zlib's codes: Z_DATA_ERROR for damaged or compressed data, Z_BUF_ERROR for a
 * truncated file.
 */
export class StoredGzip {
  readonly #take: (content: Uint8Array) => void;
  /** The element being read, its bytes so far, and their number. */
  #reading: "header" | "block" | "content" | "trailer" = "header";
  #part = Buffer.alloc(10);
  #held = 0;
  #left = LENGTHS.header;
  #isLast = false;
  #sum = 0;
  #size = 0;
  #members = 0;

  /** `take` is called with the content, piece by piece; a piece is valid only during the call. */
  constructor(take: (content: Uint8Array) => void) {
    this.#take = take;
  }

  add(chunk: Uint8Array): void {
    while (chunk.length > 0) {
      const taken = chunk.subarray(0, this.#left);
      if (this.#reading === "content") {
        this.#sum = crc32(taken, this.#sum);
        this.#size = (this.#size + taken.length) % 2 ** 32;
        this.#take(taken);
      } else this.#part.set(taken, this.#held);
      this.#held += taken.length;
      this.#left -= taken.length;
      chunk = chunk.subarray(taken.length);
      while (this.#left === 0) this.#next();
    }
  }

  end(): void {
    if (this.#members === 0 || this.#reading !== "header" || this.#held > 0)
      throw fault("Z_BUF_ERROR", "unexpected end of file");
  }

  #next(): void {
    switch (this.#reading) {
      case "header":
        // RFC 1952, 2.3: deflate, and no flags for further header fields.
        if (this.#part.readUInt32BE(0) !== 0x1f8b0800) throw fault("Z_DATA_ERROR", "incorrect header check");
        this.#begin("block", LENGTHS.block);
        return;
      case "block": {
        const [kind, length] = [this.#part[0]!, this.#part.readUInt16LE(1)];
        if (kind > 1 || this.#part.readUInt16LE(3) !== (length ^ 0xffff))
          throw fault("Z_DATA_ERROR", "invalid stored block");
        this.#isLast = kind === 1;
        this.#begin("content", length);
        return;
      }
      case "content":
        if (this.#isLast) this.#begin("trailer", LENGTHS.trailer);
        else this.#begin("block", LENGTHS.block);
        return;
      case "trailer":
        if (this.#part.readUInt32LE(0) !== this.#sum) throw fault("Z_DATA_ERROR", "incorrect data check");
        if (this.#part.readUInt32LE(4) !== this.#size) throw fault("Z_DATA_ERROR", "incorrect length check");
        this.#members += 1;
        this.#sum = 0;
        this.#size = 0;
        this.#begin("header", LENGTHS.header);
    }
  }

  #begin(reading: "header" | "block" | "content" | "trailer", left: number): void {
    this.#reading = reading;
    this.#left = left;
    this.#held = 0;
  }
}

const LENGTHS = { header: 10, block: 5, trailer: 8 };

const fault = (code: string, message: string) => Object.assign(new Error(message), { code });
