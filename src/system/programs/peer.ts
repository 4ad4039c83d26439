import type { Readable, Writable } from "node:stream";
import { MigrationError } from "../../errors.ts";
import type { Bytes } from "../bytes.ts";
import type { Call, Ending, Programs } from "./call.ts";

/** Another program that listens and talks: over the pipes of one that we started, or of the one that started us. */
export interface Peer {
  /** What it says; ends when it says no more. */
  readonly input: Bytes;
  /** Resolves when the bytes are written and may be overwritten. Throws `connection-failed` once nobody listens. */
  write(bytes: Uint8Array): Promise<void>;
}

/** A peer that we started. */
export interface StartedPeer extends Peer {
  /** Says that there is no more to come, waits for its end, and answers how that was. Never rejects. */
  close(): Promise<Ending>;
  /** Ends it at once. */
  kill(): void;
}

/** Starts a program to talk with. Throws `program-missing`. */
export async function startPeer(call: Call, programs: Programs): Promise<StartedPeer> {
  const talk = await programs.open(call);
  return {
    input: talk.output,
    write: (bytes) => talk.write(bytes),
    async close() {
      const ending = talk.close();
      // What nobody reads would keep it from ending.
      await drain(talk.output).catch(() => undefined);
      return ending;
    },
    kill: () => {
      talk.kill();
    },
  };
}

/** Whoever started us, over our standard input and output. Once `signal` says to stop, no more is heard. */
export function callingPeer(stdin: Readable, stdout: Writable, signal: AbortSignal): Peer {
  let gone = false;
  stdout.on("error", () => (gone = true));
  signal.addEventListener("abort", () => stdin.destroy(signal.reason as Error), { once: true });
  return {
    input: stdin as Bytes,
    async write(bytes) {
      signal.throwIfAborted();
      if (gone || stdout.destroyed) throw nobodyListens();
      await written(bytes, stdout, signal);
      signal.throwIfAborted();
    },
  };
}

async function drain(source: Bytes): Promise<void> {
  for await (const _ of source);
}

/** Resolves when it is written, when it never will be, and when the run is to stop. */
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

const nobodyListens = () =>
  new MigrationError("connection-failed", "the connection was closed from the other side", {
    hint: "look at what the other side says; then run the same command again there",
  });
