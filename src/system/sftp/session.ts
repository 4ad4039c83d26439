import { MigrationError } from "../../errors.ts";
import { releaseBuffer } from "../buffers.ts";
import type { Bytes } from "../bytes.ts";
import { type StartedPeer, startPeer } from "../programs/peer.ts";
import type { ProgramCall, Programs } from "../programs/programs.ts";
import { connectionFailure, describeStderr } from "../programs/ssh.ts";
import {
  type FileAttributes,
  OPEN_FLAGS,
  PacketReader,
  PacketSplitter,
  PacketWriter,
  REPLY,
  REQUEST,
  STATUS,
} from "./packet.ts";

/** The answer of the server to a request that it did not fulfil, as its own code. */
export class SftpStatus extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`SFTP status ${status}`);
    this.status = status;
  }
}

export const hasStatus = (error: unknown, status: number) =>
  error instanceof SftpStatus && error.status === status;

/** Bytes of one read or write: servers accept at least 32 KiB, OpenSSH's up to 255 KiB, and tell so. */
const SMALL_BLOCK = 32 * 1024;
const BLOCK = 255 * 1024;

/** Bytes on the way at a time: hides the delay of a distant host. */
const WINDOW = 4 * 1024 * 1024;

interface Waiting {
  readonly resolve: (reply: PacketReader) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One connection to an SFTP server, started by `ssh -s HOST sftp` as OpenSSH's sftp does. Requests may overlap. A request
 * rejects with `SftpStatus`, or with `transfer-failed` once the connection is lost.
 */
export class SftpSession {
  readonly #peer: StartedPeer;
  readonly #host: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #extensions = new Set<string>();
  /** One write after the other. */
  #turn: Promise<void> = Promise.resolve();
  #nextId = 1;
  #lost: MigrationError | undefined;
  #block = SMALL_BLOCK;

  private constructor(peer: StartedPeer, host: string) {
    this.#peer = peer;
    this.#host = host;
  }

  /** Throws `connection-failed`, `program-missing`; the signal's reason when it is aborted. */
  static async open(
    call: ProgramCall,
    host: string,
    programs: Programs,
    signal: AbortSignal,
  ): Promise<SftpSession> {
    signal.throwIfAborted();
    const peer = await startPeer(call, programs);
    const session = new SftpSession(peer, host);
    const stop = () => {
      peer.kill();
    };
    signal.addEventListener("abort", stop, { once: true });
    try {
      // The version takes the place of the request id here and in the answer.
      const greeting = session.#expect(0);
      void session.#receive(peer.input);
      await peer.write(new PacketWriter().packet(REQUEST.init, 3));
      const answer = await greeting.catch(async (error: unknown) => {
        signal.throwIfAborted();
        const ended = await peer.close();
        throw error instanceof MigrationError ? connectionFailure(ended, `sftp on ${host}`) : error;
      });
      while (answer.left > 0) {
        session.#extensions.add(answer.string());
        answer.bytes();
      }
      await session.#learnLimits();
      return session;
    } catch (error) {
      peer.kill();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  supports(extension: string): boolean {
    return this.#extensions.has(extension);
  }

  async realpath(path: string): Promise<string> {
    const reply = await this.#ask(REQUEST.realpath, new PacketWriter().string(path), REPLY.name);
    reply.uint32();
    return reply.string();
  }

  async stat(path: string): Promise<FileAttributes | undefined> {
    try {
      return (await this.#ask(REQUEST.stat, new PacketWriter().string(path), REPLY.attrs)).attributes();
    } catch (error) {
      if (hasStatus(error, STATUS.noSuchFile)) return undefined;
      throw error;
    }
  }

  /** Mode 0700. */
  async makeFolder(path: string): Promise<void> {
    await this.#ask(REQUEST.mkdir, new PacketWriter().string(path).uint32(4).uint32(0o700), REPLY.status);
  }

  /** Regular files with their sizes; no symbolic links. */
  async list(path: string): Promise<Map<string, number>> {
    const handle = await this.#handle(REQUEST.opendir, new PacketWriter().string(path));
    const found = new Map<string, number>();
    try {
      for (;;) {
        const reply = await this.#ask(REQUEST.readdir, new PacketWriter().string(handle), REPLY.name);
        for (let left = reply.uint32(); left > 0; left -= 1) {
          const name = reply.string();
          reply.bytes();
          const { size, mode } = reply.attributes();
          if (size !== undefined && (mode === undefined || (mode & 0o170000) === 0o100000))
            found.set(name, size);
        }
      }
    } catch (error) {
      if (!hasStatus(error, STATUS.eof)) throw error;
      return found;
    } finally {
      await this.#close(handle);
    }
  }

  /**
   * Writes to a file from an offset, at which it must end; `from` 0 creates it anew, private. `acknowledged` is called as the server
   * confirms. Syncs at the end, where the server can.
   *
   * Nothing is ever cut off: a server may still carry out what a connection asked that broke before this one, and a file that is
   * complete by then would lose its end. Late writes are harmless, as they are the same bytes at the same offsets.
   */
  async write(
    path: string,
    from: number,
    source: Bytes,
    acknowledged: (bytes: number) => void,
  ): Promise<void> {
    // A new file never goes through a symbolic link that somebody left there.
    if (from === 0) await this.remove(path);
    const flags = OPEN_FLAGS.write | (from === 0 ? OPEN_FLAGS.create | OPEN_FLAGS.exclusive : 0);
    const opening = new PacketWriter().string(path).uint32(flags).uint32(4).uint32(0o600);
    const handle = await this.#handle(REQUEST.open, opening);
    const window = new Window();
    try {
      let offset = from;
      for await (const chunk of source) {
        // The blocks are no copies, so the source gets its chunk back only when all of them are in the pipe.
        let sent = Promise.resolve();
        try {
          for (let at = 0; at < chunk.length; at += this.#block) {
            const block = chunk.subarray(at, at + this.#block);
            const { length } = block;
            await window.room(length);
            const request = new PacketWriter().string(handle).uint64(offset).uint32(length);
            const asked = this.#send(REQUEST.write, request, REPLY.status, block);
            ({ sent } = asked);
            window.add(
              length,
              asked.reply.then(() => {
                acknowledged(length);
              }),
            );
            offset += length;
          }
        } finally {
          await sent;
        }
      }
      await window.settled();
      if (this.supports("fsync@openssh.com"))
        await this.#ask(
          REQUEST.extended,
          new PacketWriter().string("fsync@openssh.com").string(handle),
          REPLY.status,
        );
    } finally {
      await this.#close(handle);
    }
  }

  /** The bytes of a file from an offset, in order. Each chunk is valid only until the next one is requested. */
  async *read(path: string, from: number): Bytes {
    const opening = new PacketWriter().string(path).uint32(OPEN_FLAGS.read).uint32(0);
    const handle = await this.#handle(REQUEST.open, opening);
    const ask = (offset: number, length: number) => {
      const request = new PacketWriter().string(handle).uint64(offset).uint32(length);
      const reply = this.#ask(REQUEST.read, request, REPLY.data).then((data) => data.bytes());
      reply.catch(() => undefined);
      return { offset, length, reply };
    };
    const asked: ReturnType<typeof ask>[] = [];
    let next = from;
    try {
      for (;;) {
        while (asked.length * this.#block < WINDOW) {
          asked.push(ask(next, this.#block));
          next += this.#block;
        }
        const first = asked.shift()!;
        const data = await first.reply.catch((error: unknown) => {
          if (hasStatus(error, STATUS.eof)) return undefined;
          throw error;
        });
        if (data === undefined) return;
        // A server may answer with less than it was asked for.
        if (data.length < first.length)
          asked.unshift(ask(first.offset + data.length, first.length - data.length));
        yield data;
        releaseBuffer(data);
      }
    } finally {
      await Promise.allSettled(asked.map(({ reply }) => reply));
      await this.#close(handle);
    }
  }

  /** Replaces a file of the new name, where the server can; throws `SftpStatus` where it exists and it cannot. */
  async rename(from: string, to: string): Promise<void> {
    const posix = "posix-rename@openssh.com";
    if (this.supports(posix))
      await this.#ask(
        REQUEST.extended,
        new PacketWriter().string(posix).string(from).string(to),
        REPLY.status,
      );
    else await this.#ask(REQUEST.rename, new PacketWriter().string(from).string(to), REPLY.status);
  }

  /** Does nothing when there is no such file. */
  async remove(path: string): Promise<void> {
    await this.#ask(REQUEST.remove, new PacketWriter().string(path), REPLY.status).catch((error: unknown) => {
      if (!hasStatus(error, STATUS.noSuchFile)) throw error;
    });
  }

  /** Bytes that this account may still write there; undefined when the server does not tell. */
  async free(path: string): Promise<number | undefined> {
    if (!this.supports("statvfs@openssh.com")) return undefined;
    const request = new PacketWriter().string("statvfs@openssh.com").string(path);
    const reply = await this.#ask(REQUEST.extended, request, REPLY.extended);
    const [, unit, , , available] = Array.from({ length: 5 }, () => reply.uint64());
    return unit! * available!;
  }

  /** Ends the connection. Requests that are running reject. */
  async close(): Promise<void> {
    this.#fail(this.#lost ?? lost(this.#host, ""));
    this.#peer.kill();
    await this.#peer.close();
  }

  async #learnLimits(): Promise<void> {
    if (!this.supports("limits@openssh.com")) return;
    const reply = await this.#ask(
      REQUEST.extended,
      new PacketWriter().string("limits@openssh.com"),
      REPLY.extended,
    );
    reply.uint64();
    const [read, write] = [reply.uint64(), reply.uint64()];
    // 0 means that there is no limit.
    this.#block = Math.max(SMALL_BLOCK, Math.min(BLOCK, read || BLOCK, write || BLOCK));
  }

  async #handle(type: number, request: PacketWriter): Promise<Buffer> {
    return Buffer.from((await this.#ask(type, request, REPLY.handle)).bytes());
  }

  async #close(handle: Buffer): Promise<void> {
    await this.#ask(REQUEST.close, new PacketWriter().string(handle), REPLY.status).catch(() => undefined);
  }

  #ask(type: number, request: PacketWriter, expected: number): Promise<PacketReader> {
    return this.#send(type, request, expected).reply;
  }

  /** `data` is the end of the packet, which is not copied: it must not change before it is sent. */
  #send(type: number, request: PacketWriter, expected: number, data?: Uint8Array) {
    const id = this.#nextId;
    this.#nextId = (id % 0xffff_fffe) + 1;
    const reply = this.#expect(id).then((answer) => {
      if (answer.type === REPLY.status) {
        const status = answer.uint32();
        if (status !== STATUS.ok || expected !== REPLY.status) throw new SftpStatus(status);
      } else if (answer.type !== expected) throw lost(this.#host, "it sent an unexpected answer");
      return answer;
    });
    reply.catch(() => undefined);
    const packet = request.packet(type, id, data?.length ?? 0);
    const pieces = data === undefined ? [packet] : [packet, data];
    this.#turn = this.#turn.then(() => this.#peer.write(...pieces)).catch(() => undefined);
    return { sent: this.#turn, reply };
  }

  #expect(id: number): Promise<PacketReader> {
    return new Promise((resolve, reject) => {
      if (this.#lost) reject(this.#lost);
      else this.#waiting.set(id, { resolve, reject });
    });
  }

  async #receive(input: Bytes): Promise<void> {
    const splitter = new PacketSplitter();
    try {
      for await (const chunk of input) {
        for (const packet of splitter.add(chunk)) {
          const isGreeting = packet.type === REPLY.version;
          const id = packet.uint32();
          const key = isGreeting ? 0 : id;
          this.#waiting.get(key)?.resolve(packet);
          this.#waiting.delete(key);
        }
        // Packets are copies.
        releaseBuffer(chunk);
      }
      this.#fail(lost(this.#host, describeStderr(await this.#peer.close())));
    } catch (error) {
      this.#fail(error instanceof MigrationError ? error : lost(this.#host, (error as Error).message));
    }
  }

  #fail(error: MigrationError): void {
    this.#lost ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#lost);
    this.#waiting.clear();
  }
}

const lost = (host: string, said: string) =>
  new MigrationError(
    "transfer-failed",
    `the connection to ${host} was lost${said === "" ? "" : `: ${said}`}`,
    {
      hint: "check the network between the hosts, then run the same command again: it continues where it stopped",
    },
  );

/** Bytes on the way, and the first failure among them. */
class Window {
  #bytes = 0;
  #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  add(bytes: number, done: Promise<void>): void {
    this.#bytes += bytes;
    const running = done
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#bytes -= bytes;
        this.#running.delete(running);
      });
    this.#running.add(running);
  }

  async room(bytes: number): Promise<void> {
    while (this.#failure === undefined && this.#bytes > 0 && this.#bytes + bytes > WINDOW)
      await Promise.race(this.#running);
    if (this.#failure) throw this.#failure.error;
  }

  async settled(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure) throw this.#failure.error;
  }
}
