import { type ErrorCode, EXIT_CODES, Interrupted, MigrationError } from "../errors.ts";
import { releaseBuffer } from "../system/buffers.ts";
import type { Peer } from "../system/programs/peer.ts";
import { blocks } from "./compress.ts";
import { type Digest, Digester } from "./digest.ts";
import { encodeFrame, FIRST_LINE, type Frame, readFrames } from "./frames.ts";
import { type Bytes, releaseAfterUse } from "./transform.ts";

export interface ChannelOptions {
  /** Where the other side runs, for messages: "on the old host". */
  readonly peerLocation: string;
  /** Milliseconds without any data from the other side after which waiting for it fails. */
  readonly timeout?: number;
  /** Milliseconds of own silence after which a keep-alive frame is sent. */
  readonly keepAliveInterval?: number;
}

const TIMEOUT = 120_000;
const KEEP_ALIVE_INTERVAL = 15_000;

/** Bytes of a stream that are sent in one frame. */
const BLOCK_SIZE = 256 * 1024;

/**
 * A connection between two synlift processes. It carries JSON messages and byte streams; each stream ends with
 * its size and hash. The two sides take turns. An error on one side is reported to the other side.
 */
export class Channel {
  readonly #peer: Peer;
  readonly #there: string;
  readonly #patience: number;
  readonly #frames: AsyncGenerator<Frame, void>;
  readonly #timer: NodeJS.Timeout;
  #silent = true;
  #heard = false;

  private constructor(
    peer: Peer,
    { peerLocation, timeout = TIMEOUT, keepAliveInterval = KEEP_ALIVE_INTERVAL }: ChannelOptions,
  ) {
    this.#peer = peer;
    this.#there = peerLocation;
    this.#patience = timeout;
    this.#frames = readFrames(this.#noticing(peer.input));
    this.#timer = setInterval(() => {
      // A write error is reported by the next regular write.
      if (this.#silent) peer.write(encodeFrame("alive")).catch(() => undefined);
      this.#silent = true;
    }, keepAliveInterval);
    this.#timer.unref();
  }

  /** Sends the first line of the protocol. The caller must call `close`. */
  static async open(peer: Peer, options: ChannelOptions): Promise<Channel> {
    await peer.write(Buffer.from(FIRST_LINE));
    return new Channel(peer, options);
  }

  /** Whether any data has arrived from the other side. */
  get hasReceivedData(): boolean {
    return this.#heard;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async sendMessage(message: object): Promise<void> {
    await this.#write(encodeFrame("message", Buffer.from(JSON.stringify(message))));
  }

  /**
   * Sends a stream. The end frame is sent only after the source and `last` have succeeded; `last` may send messages.
   */
  async sendStream(source: Bytes, last: () => Promise<void> = () => Promise.resolve()): Promise<Digest> {
    const tally = new Digester();
    // Many small frames would cost both sides more than the data itself.
    for await (const block of releaseAfterUse(blocks(releaseAfterUse(source), BLOCK_SIZE))) {
      tally.add(block);
      const frame = encodeFrame("data", block);
      await this.#write(frame);
      releaseBuffer(frame);
    }
    await last();
    const measure = tally.result();
    await this.#write(encodeFrame("end", Buffer.from(JSON.stringify(measure))));
    return measure;
  }

  /** Reports an error to the other side, if it is still connected. Never throws. */
  async sendError(error: unknown): Promise<void> {
    await this.#write(encodeFrame("failure", Buffer.from(JSON.stringify(errorFields(error))))).catch(
      () => undefined,
    );
  }

  /** The next message. Throws `connection-failed`, or the error that the other side reported. */
  async receiveMessage(): Promise<unknown> {
    const frame = await this.#next();
    if (!frame) throw this.#gone();
    if (frame.kind !== "message") throw this.#unexpected(frame);
    return this.#parsed(frame);
  }

  /** As `receiveMessage`, but returns undefined when the other side has closed the connection. */
  async receiveMessageOrEnd(): Promise<unknown> {
    const frame = await this.#next();
    if (!frame) return undefined;
    if (frame.kind !== "message") throw this.#unexpected(frame);
    return this.#parsed(frame);
  }

  /** The next stream. It ends without an error only if it arrived completely; `heard` is called with messages in between. */
  async *receiveStream(
    heard: (message: unknown) => Promise<void> = () => Promise.reject(this.#odd("a message in a stream")),
  ): Bytes {
    const tally = new Digester();
    for (;;) {
      const frame = await this.#next();
      if (!frame) throw this.#gone();
      if (frame.kind === "data") {
        tally.add(frame.bytes);
        yield frame.bytes;
      } else if (frame.kind === "message") await heard(this.#parsed(frame));
      else if (frame.kind === "end") {
        const said = this.#parsed(frame) as Partial<Digest> | null;
        const { size, sha256 } = tally.result();
        if (said?.size !== size || said.sha256 !== sha256)
          throw this.#odd(`${size} bytes, which do not match the size and hash that it announced`);
        return;
      } else throw this.#unexpected(frame);
    }
  }

  async *#noticing(input: Bytes): Bytes {
    for await (const chunk of input) {
      this.#heard = true;
      yield chunk;
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#silent = false;
    await this.#peer.write(bytes);
  }

  /** The next frame other than a keep-alive; undefined when the other side has closed the connection. */
  async #next(): Promise<Frame | undefined> {
    for (;;) {
      const next = await withTimeout(this.#frames.next(), this.#patience, () => this.#silentTooLong());
      if (next.done === true) return undefined;
      if (next.value.kind === "failure") throw this.#told(this.#parsed(next.value));
      if (next.value.kind !== "alive") return next.value;
    }
  }

  #parsed({ bytes }: Frame): unknown {
    try {
      return JSON.parse(Buffer.from(bytes).toString("utf8"));
    } catch {
      throw this.#odd("a message that is not JSON");
    }
  }

  #told(words: unknown): MigrationError {
    const { code, message, hint } = (words ?? {}) as Record<string, unknown>;
    const known = typeof code === "string" && Object.hasOwn(EXIT_CODES, code) ? code : "program-failed";
    const text = typeof message === "string" ? message : "it failed without a message";
    return new MigrationError(known as ErrorCode, `${this.#there}: ${text}`, {
      hint: typeof hint === "string" ? `${this.#there}: ${hint}` : undefined,
    });
  }

  #gone = () =>
    new MigrationError("connection-failed", `the connection to synlift ${this.#there} ended too early`, {
      hint: "run the same command again: it resumes where it stopped",
    });

  #silentTooLong = () =>
    new MigrationError(
      "connection-failed",
      `no data from synlift ${this.#there} for ${this.#patience / 1000} seconds`,
      { hint: "check that the host is up; then run the same command again: it resumes where it stopped" },
    );

  #unexpected = ({ kind }: Frame) => this.#odd(`a frame of ${kind} where none was expected`);

  #odd = (what: string) =>
    new MigrationError("connection-failed", `synlift ${this.#there} sent ${what}`, {
      hint: "use the same version of synlift on both hosts, and run the same command again",
    });
}

async function withTimeout<T>(promise: Promise<T>, milliseconds: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(late());
    }, milliseconds);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** The message of an unexpected error is not sent: it may contain secrets. */
function errorFields(error: unknown): { code: string; message: string; hint?: string | undefined } {
  if (error instanceof MigrationError)
    return {
      code: error.code,
      message: error.message.slice(0, 8000),
      hint: error.hint?.slice(0, 8000),
    };
  if (error instanceof Interrupted) return { code: "program-failed", message: `it was ${error.message}` };
  return {
    code: "program-failed",
    message: "it failed with an unexpected error; its own output has the details",
  };
}
