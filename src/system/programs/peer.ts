import type { Readable, Writable } from "node:stream";
import { MigrationError } from "../../errors.ts";
import type { Bytes } from "../bytes.ts";
import type { ExitStatus, ProgramCall, Programs } from "./call.ts";

/** The other end of a two-way connection: a program that this process started, or the one that started this process. */
export interface Peer {
  /** The bytes that it sends. */
  readonly input: Bytes;
  /** Resolves when the bytes are written and the buffer can be reused. Throws `connection-failed` once the peer is gone. */
  write(bytes: Uint8Array): Promise<void>;
}

/** A peer that this process started. */
export interface StartedPeer extends Peer {
  /** Several pieces are handed to the system together. */
  write(...pieces: readonly Uint8Array[]): Promise<void>;
  /** Closes its input, waits until it has ended, and returns how. Never rejects. */
  close(): Promise<ExitStatus>;
  /** Ends it at once. */
  kill(): void;
}

/** Starts a program as a peer. Throws `program-missing`. */
export async function startPeer(call: ProgramCall, programs: Programs): Promise<StartedPeer> {
  const talk = await programs.start(call);
  return {
    input: talk.output,
    write: (...pieces) => talk.write(...pieces),
    async close() {
      const ending = talk.close();
      // Unread output would block it.
      await drain(talk.output).catch(() => undefined);
      return ending;
    },
    kill: () => {
      talk.kill();
    },
  };
}

/** The parent process, through standard input and output. When `signal` is aborted, reading stops. */
export function parentPeer(stdin: Readable, stdout: Writable, signal: AbortSignal): Peer {
  let gone = false;
  stdout.on("error", () => (gone = true));
  signal.addEventListener("abort", () => stdin.destroy(signal.reason as Error), { once: true });
  return {
    input: stdin as Bytes,
    async write(bytes) {
      signal.throwIfAborted();
      if (gone || stdout.destroyed) throw peerClosed();
      await written(bytes, stdout, signal);
      signal.throwIfAborted();
    },
  };
}

async function drain(source: Bytes): Promise<void> {
  for await (const _ of source);
}

/** Resolves when the bytes are written, when that has become impossible, and when `signal` is aborted. */
function written(bytes: Uint8Array, stdout: Writable, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      stdout.off("close", go).off("error", go);
      signal.removeEventListener("abort", go);
      resolve();
    };
    stdout.on("close", go).on("error", go);
    signal.addEventListener("abort", go);
    stdout.write(bytes, go);
  });
}

const peerClosed = () =>
  new MigrationError("connection-failed", "the connection was closed from the other side", {
    hint: "check the error message on the other host, then run the same command again there",
  });
