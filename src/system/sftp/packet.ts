import { allocateBuffer } from "../buffers.ts";

/** Packets of the SSH File Transfer Protocol, version 3 (draft-ietf-secsh-filexfer-02), as OpenSSH's server speaks it. */

export const REQUEST = {
  init: 1,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  realpath: 16,
  stat: 17,
  rename: 18,
  extended: 200,
} as const;

export const REPLY = {
  version: 2,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 201,
} as const;

/** SSH_FXF_ flags of an open. */
export const OPEN_FLAGS = { read: 1, write: 2, create: 8, exclusive: 0x20 } as const;

/** SSH_FX_ codes of a status. */
export const STATUS = {
  ok: 0,
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  unsupported: 8,
} as const;

/** Largest packet that is accepted; OpenSSH's own limit (sftp-common.h, SFTP_MAX_MSG_LENGTH). */
const MOST = 256 * 1024 + 1024;

/** Bytes from which a packet has a buffer of its own, which its last user may release. */
const LARGE = 16 * 1024;

/** Builds the payload of a request. */
export class PacketWriter {
  #pieces: Uint8Array[] = [];

  uint32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    this.#pieces.push(bytes);
    return this;
  }

  uint64(value: number): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value));
    this.#pieces.push(bytes);
    return this;
  }

  string(value: string | Uint8Array): this {
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    this.uint32(bytes.length);
    this.#pieces.push(bytes);
    return this;
  }

  /** The whole packet, with its length, type and request id. So many bytes of it follow elsewhere. */
  packet(type: number, id: number, following = 0): Buffer {
    const size = this.#pieces.reduce((sum, piece) => sum + piece.length, 0);
    const whole = Buffer.allocUnsafe(9 + size);
    whole.writeUInt32BE(5 + size + following, 0);
    whole.writeUInt8(type, 4);
    whole.writeUInt32BE(id, 5);
    let at = 9;
    for (const piece of this.#pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }
}

/** Thrown for what no server may send. */
class MalformedPacket extends Error {}

/** Reads a packet. Throws `MalformedPacket` past its end. */
export class PacketReader {
  readonly type: number;
  #bytes: Buffer;
  #at = 1;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.type = bytes.readUInt8(0);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  uint32(): number {
    return this.#take(4).readUInt32BE();
  }

  /** Throws for what is no exact number. */
  uint64(): number {
    const value = this.#take(8).readBigUInt64BE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new MalformedPacket("a number is too large");
    return Number(value);
  }

  bytes(): Buffer {
    return this.#take(this.uint32());
  }

  string(): string {
    return this.bytes().toString("utf8");
  }

  /** File attributes: size and type and mode, where they are given. */
  attributes(): FileAttributes {
    const flags = this.uint32();
    const size = flags & 1 ? this.uint64() : undefined;
    if (flags & 2) this.#take(8);
    const mode = flags & 4 ? this.uint32() : undefined;
    if (flags & 8) this.#take(8);
    for (let left = flags & 0x8000_0000 ? 2 * this.uint32() : 0; left > 0; left -= 1) this.bytes();
    return { size, mode };
  }

  #take(length: number): Buffer {
    if (length > this.left) throw new MalformedPacket("a packet ends early");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

export interface FileAttributes {
  readonly size: number | undefined;
  /** With the bits of the file type, as st_mode. */
  readonly mode: number | undefined;
}

/** Splits a byte stream into packets, without their length. */
export class PacketSplitter {
  #header = Buffer.alloc(4);
  #known = 0;
  #body: Buffer | undefined;
  #filled = 0;

  /** Throws `MalformedPacket`. */
  *add(chunk: Uint8Array): Iterable<PacketReader> {
    for (let at = 0; at < chunk.length;) {
      if (this.#body === undefined) {
        this.#header[this.#known++] = chunk[at++]!;
        if (this.#known < 4) continue;
        const size = this.#header.readUInt32BE();
        if (size < 1 || size > MOST) throw new MalformedPacket(`a packet of ${size} bytes`);
        this.#body = size > LARGE ? allocateBuffer(size) : Buffer.allocUnsafe(size);
        this.#filled = 0;
        continue;
      }
      const taken = Math.min(this.#body.length - this.#filled, chunk.length - at);
      this.#body.set(chunk.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled < this.#body.length) continue;
      const whole = this.#body;
      this.#body = undefined;
      this.#known = 0;
      yield new PacketReader(whole);
    }
  }
}
